//! `logkv.toml` and the environment: trusted options are used, and others are reported.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::common::{program, small_store};

/// Creates something at a path.
type Plant = fn(&Path);

struct ProgramOutput {
    out: String,
    err: String,
    code: Option<i32>,
}

fn run(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> ProgramOutput {
    let output = program(dir).args(args).envs(env.iter().copied()).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("is UTF-8");
    ProgramOutput { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code() }
}

#[test]
fn options_in_the_directory_of_another_user_are_used_only_if_trusted() {
    let dir = small_store();
    fs::write(dir.path().join("logkv.toml"), "sync = \"never\"\n").expect("options");
    assert!(run(dir.path(), &[".", "config"], &[]).out.contains("sync\tnever\t./logkv.toml"));
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).expect("has permission");
    let ProgramOutput { out, err, code } = run(dir.path(), &[".", "config"], &[]);
    assert!(out.contains("sync\talways\tdefault"), "{out}");
    let note = "note: ./logkv.toml was not read: . can be written to by everybody; --trust reads it\n";
    assert_eq!((err.as_str(), code), (note, Some(0)));
    for (args, env) in [
        (&["--trust", ".", "config"][..], &[][..]),
        (&[".", "config"], &[("LOGKV_TRUST", "yes")]),
        (&["--config", "logkv.toml", ".", "config"], &[]),
    ] {
        assert!(run(dir.path(), args, env).out.contains("sync\tnever\t"), "{args:?} {env:?}");
    }
}

#[test]
fn options_that_are_not_used_are_not_validated() {
    let dir = small_store();
    fs::write(dir.path().join("logkv.toml"), "not toml").expect("options");
    assert_eq!(run(dir.path(), &[".", "get", "one"], &[]).code, Some(2));
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).expect("has permission");
    let said = run(dir.path(), &[".", "get", "one"], &[]);
    assert!(
        said.err.contains("can be written to by everybody") && !said.err.contains("toml"),
        "{}",
        said.err
    );
    assert_eq!(said.code, Some(3));
}

#[test]
fn an_options_file_that_is_no_small_regular_file_of_the_user_is_refused_unread() {
    let at = |dir: &Path| dir.join("logkv.toml");
    let plants: [(&str, i32, Plant); 5] = [
        ("it is a symbolic link", 3, |at| symlink("/etc/passwd", at).expect("is a link")),
        ("it is a FIFO", 3, |at| {
            mknodat(CWD, at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
        }),
        ("it is a directory", 3, |at| fs::create_dir(at).expect("a directory")),
        ("everybody may write to it", 3, |at| {
            fs::write(at, "sync = \"never\"").expect("options");
            fs::set_permissions(at, Permissions::from_mode(0o666)).expect("has permission");
        }),
        ("is larger than 64 KiB", 2, |at| {
            let file = fs::File::create(at).expect("options");
            file.set_len(1 << 40).expect("a hole");
        }),
    ];
    for (reason, code, plant) in plants {
        for command in ["config", "get"] {
            let dir = small_store();
            plant(&at(dir.path()));
            let said = run(dir.path(), &[".", command, "one"][..if command == "get" { 3 } else { 2 }], &[]);
            assert!(said.err.contains(reason) && said.err.contains("logkv.toml"), "{reason}: {}", said.err);
            assert!(!said.err.contains("root:"), "{}", said.err);
            assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{reason}");
        }
    }
}

#[test]
fn verify_and_repair_report_in_one_line_that_they_ignore_the_options() {
    let plants: [(&str, Plant); 2] = [
        ("./logkv.toml:1: ", |at| fs::write(at, "not toml").expect("options")),
        ("cannot open ./logkv.toml: everybody may write to it", |at| {
            fs::write(at, "sync = \"never\"").expect("options");
            fs::set_permissions(at, Permissions::from_mode(0o666)).expect("has permission");
        }),
    ];
    for (reason, plant) in plants {
        for command in [&["verify"][..], &["repair", "--to", "repaired"]] {
            let dir = small_store();
            plant(&dir.path().join("logkv.toml"));
            let said = run(dir.path(), &[&["."], command].concat(), &[]);
            let notes: Vec<_> =
                said.err.lines().filter(|line| line.ends_with("; its options are ignored")).collect();
            let [line] = notes[..] else { panic!("{command:?}: {}", said.err) };
            assert!(line.starts_with(&format!("note: {reason}")), "{line}");
            assert_eq!(run(dir.path(), &["-q", ".", "verify"], &[]).err, "");
        }
        let dir = small_store();
        plant(&dir.path().join("logkv.toml"));
        assert_eq!(run(dir.path(), &[".", "verify"], &[]).code, Some(0));
    }
}

#[test]
fn an_unknown_option_in_the_environment_is_refused_and_an_unrelated_variable_is_ignored() {
    let dir = small_store();
    for (name, hint) in [
        ("LOGKV_SYNCC", "did you mean LOGKV_SYNC?"),
        ("LOGKV_XYZZY", "logkv --help lists the options: --sync is LOGKV_SYNC here"),
    ] {
        for args in [&[".", "get", "one"][..], &["-q", ".", "get", "one"], &[".", "config"]] {
            let said = run(dir.path(), args, &[(name, "never")]);
            let error =
                format!("error: {name} is set in the environment, but is not an option\nhint: {hint}\n");
            assert_eq!((said.err, said.out.as_str(), said.code), (error, "", Some(2)));
        }
    }
    let help = run(dir.path(), &["--help"], &[("LOGKV_XYZZY", "1")]);
    assert_eq!((help.err.as_str(), help.code), ("", Some(0)));
    let said = run(dir.path(), &[".", "get", "one"], &[("LOGKV_PORT", "1"), ("LOGKV_SYNCC", "")]);
    assert_eq!((said.err.as_str(), said.out.as_str(), said.code), ("", "1\n", Some(0)));
}
