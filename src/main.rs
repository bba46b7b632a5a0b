//! The `logkv` program: arguments in, exit code out.

#[expect(
    unreachable_pub,
    reason = "a program exports nothing; `pub` says what one part of the shell offers the others"
)]
mod shell;

fn main() -> std::process::ExitCode {
    shell::main()
}
