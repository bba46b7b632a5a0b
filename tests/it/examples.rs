//! The examples compile and print the expected output.

use std::process::Command;

use regex::Regex;

/// Each example, with its output.
const EXAMPLES: [(&str, &str); 5] = [
    ("embed", "user:1 is Alice\n"),
    (
        "feed",
        "the index is rebuilt\nalice lives in Paris\n\
         alice lives in Oslo\nbob lives in Rome\n\
         the index is rebuilt\nalice lives in Paris\n",
    ),
    ("metrics", "logkv_get_hits_total{store=\"example\"} 1\nlogkv_get_misses_total{store=\"example\"} 1\n"),
    ("snapshot", "the snapshot has 100 old values, the store Some(b\"new\") for item:00\n"),
    ("transaction", "transferred 40\nrefused 70: the balance is only 60\nalice has 60\nbob has 40\n"),
];

#[test]
fn every_example_runs_and_is_named_in_readme() {
    let root = env!("CARGO_MANIFEST_DIR");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).expect("README.md");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--examples", "--locked", "--message-format", "json"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    let messages = String::from_utf8(built.stdout).expect("text");
    assert!(built.status.success(), "{messages}{}", String::from_utf8_lossy(&built.stderr));
    let executable = Regex::new(r#""executable":"([^"]+/examples/(\w+))""#).expect("a pattern");
    let mut found: Vec<_> = executable.captures_iter(&messages).map(|found| found.extract().1).collect();
    found.sort_by_key(|[_, name]| *name);
    assert_eq!(found.iter().map(|[_, name]| *name).collect::<Vec<_>>(), EXAMPLES.map(|(name, _)| name));
    for ([path, name], (_, says)) in found.into_iter().zip(EXAMPLES) {
        let output = Command::new(path).output().expect("runs");
        let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((said.0.as_ref(), said.1.as_ref(), output.status.code()), (says, "", Some(0)), "{name}");
        assert!(readme.contains(&format!("`tests/examples/{name}.rs`")), "{name} is in README");
    }
}
