//! How often verdicts on the samples are right, from all of the evidence and from parts of it -> whether the book tells it as it is, and whether
//! it got worse.

use crate::samples::{samples, wsdrop};
use serde_json::Value;
use std::fs;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/book/src/accuracy.md");
const FROM: &str = "<!-- measured: samples -->\n";
const TO: &str = "<!-- end -->";

fn measured(form: &str) -> String {
    let samples = samples();
    let folder = samples.to_string_lossy();
    let args = ["rules", "test", "--corpus", &folder, "--parts", form];
    let output = wsdrop(&args, &std::env::temp_dir());
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_book_tells_the_accuracy_as_it_is() {
    let page = fs::read_to_string(PAGE).expect("the page");
    let (head, rest) = page.split_once(FROM).expect("where it begins");
    let (written, tail) = rest.split_once(TO).expect("where it ends");
    let now = format!("\n{}\n", measured("--markdown"));
    if std::env::var_os("INSTA_UPDATE").is_some_and(|v| v == "always") {
        fs::write(PAGE, format!("{head}{FROM}{now}{TO}{tail}")).expect("written");
        return;
    }
    assert_eq!(
        written, now,
        "book/src/accuracy.md; renew it with\n    INSTA_UPDATE=always cargo test --test it accuracy"
    );
}

/// What must not get worse, whatever the page says.
#[test]
fn accuracy_does_not_fall() {
    let found: Value = serde_json::from_str(&measured("--json")).expect("JSON");
    let corpus = &found["corpus"];
    let share = |v: &Value| {
        let n = |key: &str| v[key].as_u64().expect("a count");
        (n("right"), n("all"))
    };
    assert!(corpus["incidents"].as_u64() >= Some(17));
    for (figure, least) in [("cause", 140), ("left_alone", 117)] {
        let (right, all) = share(&corpus[figure]);
        assert!(all >= least && right == all, "{figure}: {right} of {all}");
    }
    for none in ["false_drops", "made_up", "not_found", "incidents_too_many"] {
        assert_eq!(corpus[none], 0, "{none}");
    }
    for (cause, of) in corpus["causes"].as_object().expect("causes") {
        for figure in ["precision", "recall"]
            .iter()
            .filter(|f| !of[**f].is_null())
        {
            let (right, all) = share(&of[*figure]);
            assert_eq!(right, all, "{figure} of {cause}");
        }
    }
    // Where sources are missing: certain is right, likely nearly always.
    let parts = &corpus["tiers_of_parts"];
    let (right, all) = share(&parts["certain"]);
    assert!(all > 600 && right == all, "certain: {right} of {all}");
    let (right, all) = share(&parts["likely"]);
    assert!(
        all > 100 && right * 100 >= all * 95,
        "likely: {right} of {all}"
    );
    assert!(corpus["false_drops_of_parts"].as_u64() <= Some(8));
}
