//! The `logkv` program.

#[expect(
    unreachable_pub,
    reason = "a program exports nothing: `pub` marks the interface between parts of the shell"
)]
mod shell;

fn main() -> std::process::ExitCode {
    shell::main()
}
