//! The `ingress-diagnosis` program; everything is in the library.

use std::process::ExitCode;

/// Large objects are decoded and dropped all the time: this allocator gives their pages back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ingress_diagnosis::cli::main()
}
