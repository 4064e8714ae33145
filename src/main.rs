//! Arguments in, the library called, its exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    wsdrop::cli::tell_of_bugs();
    wsdrop::cli::run(std::env::args_os().collect()).into()
}
