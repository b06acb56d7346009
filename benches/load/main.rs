//! What keygate costs a service under load: `cargo bench --bench load -- --help`.
//!
//! Whatever is compared is compared within one run, in turns, so that the figures can be read as ratios. Servers and
//! clients are processes of their own, which this program starts as itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod arguments;
mod bulk;
mod client;
mod cold;
mod deployment;
mod figures;
mod forged;
mod http;
mod instructions;
mod limits;
mod management;
mod many;
mod memory;
mod process;
mod revocation;
mod server;
mod threads;

use arguments::Arguments;

const HELP: &str = "\
Measures what keygate costs a service under load. Each mode prints ratios first.

usage: cargo bench --bench load -- MODE [--OPTION VALUE ...]

  http         a route behind the layer against the same route without it, in axum and in actix-web
                 --rounds 11  --seconds 1.5  --connections 64  --keys 1000  --framework axum|actix  --workers N
  threads      checks of kept keys, by one thread and by two, beside a bare look-up in moka and in quick_cache
                 --rounds 5  --millis 1000  --keys N
  memory       bytes of memory for each key that is kept
                 --keys 100000
  cold         keys never seen before, against redis-benchmark -t get
                 --rounds 3  --keys 100000  --connections 64
  forged       forged keys over HTTP at full load, and what reaches Redis meanwhile
                 --seconds 5  --connections 64
  revocation   how long after a revocation returned other processes still accept the key
                 --processes 8  --keys 500  --load 0.5
  bulk         hits while another process makes keys in bulk
                 --keys 65000
  management   the management API under many connections, and what that does to a guarded service
                 --connections 200  --seconds 60  --rounds 8
  many         lists and bulk operations in an organization of few keys, and in one of very many
                 --few 10000  --keys 1000000  --rounds 21
  limits       a whole minute of one limit over eight processes of unequal load
                 --limit 1000  --load 10
  sweep        round trips for each request, over limits and numbers of instances, as lines of numbers
                 --seconds 20  --load 0.5
  lease        calls of Redis for tokens against reads of a record
                 --rounds 7  --connections 64  --count 50000
  instructions checks and nothing else, to be counted by scripts/callgrind.sh
                 --of hit|forged|malformed|parse|digest|get|clocks|layer|limited|request  --count 10000  --keys 64

`redis-server` and `redis-benchmark` have to be installed for all but http, threads and instructions.
";

fn main() {
    let arguments = Arguments::from_command_line();
    match arguments.mode() {
        "http" => http::run(&arguments),
        "threads" => threads::run(&arguments),
        "memory" => memory::run(&arguments),
        "cold" => cold::run(&arguments),
        "forged" => forged::run(&arguments),
        "revocation" => revocation::run(&arguments),
        "bulk" => bulk::run(&arguments),
        "management" => management::run(&arguments),
        "many" => many::run(&arguments),
        "limits" => limits::run(&arguments),
        "sweep" => limits::sweep(&arguments),
        "lease" => limits::script(&arguments),
        "instructions" => instructions::run(&arguments),
        // What this program starts itself as.
        "serve" => server::run(&arguments),
        "client" => client::run(&arguments),
        "instance" => revocation::instance(&arguments),
        "limited" => limits::instance(&arguments),
        "import" => bulk::import(&arguments),
        "manage" => management::serve(&arguments),
        "managers" => management::call(&arguments),
        "rss" => memory::measured(&arguments),
        mode => {
            print!("{HELP}");
            std::process::exit(i32::from(!matches!(mode, "" | "--help" | "-h" | "help")) * 2);
        }
    }
}
