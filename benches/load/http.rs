//! A route behind the layer against the same route without it.

use crate::arguments::Arguments;
use crate::client::Load;
use crate::figures::{Figures, Table};
use crate::process::{cpu_seconds, processors};
use crate::server::{Server, with_limits};

/// One variant in one round.
#[derive(Clone, Copy)]
struct Measured {
    per_second: f64,
    /// Microseconds of the server's processor time for one request.
    cpu: f64,
}

pub fn run(arguments: &Arguments) {
    for framework in ["axum", "actix"] {
        if arguments.text("framework").is_some_and(|only| only != framework) {
            continue;
        }
        let mut workers = arguments.option("workers").map_or_else(|| vec![1, processors()], |only| vec![only]);
        workers.dedup();
        for workers in workers {
            compare(arguments, framework, workers);
        }
    }
}

fn compare(arguments: &Arguments, framework: &str, workers: usize) {
    let (rounds, seconds) = (arguments.or("rounds", 11), arguments.or("seconds", 1.5));
    let (connections, keys) = (arguments.or("connections", 64), arguments.or("keys", 1000));
    let awake = workers < processors();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    let server = Server::start(framework, workers, keys, &file);
    let measure = |name: &str, port: u16| {
        let used = cpu_seconds(server.process.id());
        let keys = file.to_str().unwrap();
        let keys = if name == "limited" { with_limits(keys) } else { keys.to_owned() };
        let done = Load { port, keys: &keys, status: 200, connections, seconds, awake }.run();
        let used = cpu_seconds(server.process.id()) - used;
        Measured { per_second: done.per_second, cpu: used / done.requests * 1e6 }
    };

    // Keys with limits, through the same door.
    let mut ports = server.ports.clone();
    ports.push(("limited".to_owned(), server.port("keyed")));
    let variants = ports.len();
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); variants];
    for round in 0..rounds {
        for turn in 0..variants {
            // There and back again, so that what drifts does so for all of them.
            let variant = if round % 2 == 0 { turn } else { variants - 1 - turn };
            let (name, port) = &ports[variant];
            measured[variant].push(measure(name, *port));
        }
    }

    println!(
        "{framework}, {workers} worker(s), {connections} connections, {keys} keys, {rounds} rounds of {seconds} s: \
         least, median and most\n"
    );
    let bare = &measured[0];
    let mut table = Table::new(["against the bare route", "throughput", "", "", "CPU per request", "", ""]);
    let ratios = |of: fn(&Measured) -> f64, variant: &[Measured]| {
        Figures::new(variant.iter().zip(bare).map(|(this, bare)| of(this) / of(bare))).cells(3)
    };
    for ((name, _), variant) in ports.iter().zip(&measured).skip(1) {
        let (throughput, cpu) = (ratios(|one| one.per_second, variant), ratios(|one| one.cpu, variant));
        table.line(describe(name), throughput.into_iter().chain(cpu));
    }
    table.print();

    let mut table = Table::new(["route", "requests/s", "", "", "µs of CPU", "", ""]);
    for ((name, _), variant) in ports.iter().zip(&measured) {
        let throughput = Figures::new(variant.iter().map(|one| one.per_second)).cells(0);
        let cpu = Figures::new(variant.iter().map(|one| one.cpu)).cells(2);
        table.line(describe(name), throughput.into_iter().chain(cpu));
    }
    table.print();
}

fn describe(name: &str) -> &str {
    match name {
        "bare" => "bare",
        "idle" => "behind a layer that does nothing",
        "limited" => "behind keygate, keys with limits, and headers that tell of them",
        _ => "behind keygate",
    }
}
