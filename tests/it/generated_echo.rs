//! The tonic example's generated code is kept as a file, so that no machine needs `protoc` to build it. Here it is
//! made again, with a compiler in Rust, and compared; `KEYGATE_REGENERATE=1` writes it.

use std::error::Error;
use std::fs;
use std::path::Path;

#[test]
fn the_generated_code_is_that_of_the_proto_file() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tonic");
    let output = tempfile::tempdir()?;
    let descriptors = protox::compile([folder.join("echo.proto")], [&folder])?;
    tonic_prost_build::configure().out_dir(output.path()).compile_fds(descriptors)?;
    let generated = fs::read_to_string(output.path().join("keygate.example.rs"))?;

    let kept = folder.join("echo.rs");
    if std::env::var_os("KEYGATE_REGENERATE").is_some() {
        fs::write(&kept, &generated)?;
    }
    assert!(
        fs::read_to_string(&kept)? == generated,
        "examples/tonic/echo.rs is not what echo.proto says: KEYGATE_REGENERATE=1 cargo test --test it generated_echo"
    );
    Ok(())
}
