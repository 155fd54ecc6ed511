//! Pages of bundles, honest and hostile.

use std::collections::BTreeSet;

use crate::answer::{Answer, Form, Question, Verdict};
use crate::bundle::testing::{Log, bundled};
use crate::bundle::{Bundle, BundledEvent};

fn answer(log: &Log, bundle: &Bundle) -> Answer {
    let question = Question {
        keys: log.keys(),
        origin: None,
        kept: None,
        form: Form::Page,
    };
    question.answer(&serde_json::to_vec(bundle).unwrap())
}

fn page(log: &mut Log, id: &str) -> String {
    let bundle = log.bundle(id);
    let answer = answer(log, &bundle);
    assert_eq!(answer.verdict, Verdict::Verified, "{}", answer.remarks);
    assert!(answer.remarks.starts_with("VERIFIED"));
    answer.output
}

/// The rows of the events.
fn rows(page: &str) -> Vec<&str> {
    page.lines()
        .filter(|line| line.starts_with("<tr id="))
        .collect()
}

/// Everything that is markup: the page without its text.
fn tags(page: &str) -> Vec<&str> {
    let (_, body) = page.split_once("</style>").unwrap();
    let tags = body.split('<').skip(1);
    tags.map(|rest| rest.split_once('>').unwrap().0).collect()
}

fn event(position: i64, payload: &str, metadata: &str) -> BundledEvent {
    let mut event = bundled("ada", position, position);
    event.payload = payload.as_bytes().to_vec();
    event.metadata = metadata.as_bytes().to_vec();
    event
}

#[test]
fn a_page_tells_whose_events_by_which_checkpoint_and_how_to_check_again() {
    let mut log = Log::with(&["ada", "bob", "ada", "-", "ada"]);
    let key = log.keys().remove(0);
    let checkpoint = log.seal();
    let page = page(&mut log, "ada");
    for part in [
        "<title>The history of account/ada</title>",
        "<h1>The history of <bdi>account/ada</bdi></h1>",
        "These are all 3 events of <bdi>account/ada</bdi> up to position 4 of the store",
        "<dt>Log</dt><dd><bdi>ledger.example/a</bdi></dd>",
        "<dt>Entries</dt><dd><bdi>5</bdi></dd>",
        "<dt>Sealed</dt><dd><bdi>2023-11-14 22:13:20.000005 UTC</bdi></dd>",
        &format!(
            "<dt>Root of the log</dt><dd><bdi>{}</bdi></dd>",
            checkpoint.root
        ),
        &format!("<dt>Its fingerprint</dt><dd><bdi>{}</bdi></dd>", key.id()),
        "<h2>What this shows</h2>",
        "has exactly 3 events, at positions from 1 to 4.",
        "<h2>What this does not show</h2>",
        "<li>What was recorded after position 4.",
        "<li>That everybody is shown the same log.",
        &format!("<pre>folio-verify BUNDLE.json \\\n  --key &#39;{key}&#39;</pre>"),
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn each_event_is_there_once_in_its_order_and_with_its_place() {
    let mut log = Log::with(&["ada", "bob", "ada", "-", "ada"]);
    let page = page(&mut log, "ada");
    let rows = rows(&page);
    let places = [(1, 1, 0), (2, 3, 2), (3, 4, 4)];
    assert_eq!(rows.len(), places.len());
    for (row, (version, position, leaf)) in rows.iter().zip(places) {
        for part in [
            format!("<tr id=\"event-{version}\"><td class=\"number\">{version}</td>"),
            format!("2023-11-14 22:13:20.00000{position} UTC"),
            format!("<dt><bdi>amount</bdi></dt><dd><bdi>{position}.50</bdi></dd>"),
            "<td><div><bdi>ada</bdi></div></td>".to_owned(),
            "<dt><bdi>command</bdi></dt><dd><bdi>22222222-2222-2222-2222-222222222222</bdi>"
                .to_owned(),
            format!("<dt><bdi>leaf</bdi></dt><dd><bdi>{leaf}</bdi></dd>"),
            format!("<dt><bdi>position</bdi></dt><dd><bdi>{position}</bdi></dd>"),
        ] {
            assert!(row.contains(&part), "{part}\n{row}");
        }
        assert!(
            row.contains("hashes</bdi></dd>") || row.contains("1 hash</bdi></dd>"),
            "{row}"
        );
    }
}

#[test]
fn who_and_why_stand_apart_from_what() {
    let mut log = Log::with(&[]);
    let mut frozen = event(
        1,
        r#"{"freeze":"debits","reason":"a court order","limit":{"amount":"10.00","currency":"EUR"}}"#,
        r#"{"actor":"officer-7","correlation_id":"c-1","cause":{"store_id":"s","position":9}}"#,
    );
    frozen.event_type = "AccountFrozen".to_owned();
    log.push(frozen);
    log.push(event(2, "null", "{}"));
    let page = page(&mut log, "ada");
    let rows = rows(&page);
    let cells: Vec<_> = rows[0].split("<td").skip(3).collect();
    let [what, who, why, place] = cells.as_slice() else {
        panic!("{cells:?}");
    };
    for part in ["Account frozen", "AccountFrozen", "debits", "10.00 EUR"] {
        assert!(what.contains(part), "{what}");
    }
    assert!(
        !what.contains("court") && who.contains("officer-7"),
        "{who}"
    );
    for part in [
        "a court order",
        "<bdi>correlation id</bdi></dt><dd><bdi>c-1",
        "cause / position",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert!(place.contains("<bdi>leaf</bdi>"));
    assert!(rows[1].contains("not recorded"), "{}", rows[1]);
}

#[test]
fn nothing_of_a_bundle_is_markup_whatever_it_holds() {
    let script = "</td></table><script>alert(1)</script>";
    let image = r#"\"><img src=x onerror='alert(1)'>"#;
    let turns = "\u{202e}\u{200f}\u{2028}\\u0000\\u001b[2J&lt;";
    let strings = format!("{script}{image}{turns}");
    let hostile = format!(
        r#"{{"{strings}":"{strings}","a":{{"{strings}":["{strings}",{{"b":"{strings}"}}]}},"reason":"{strings}"}}"#
    );
    let metadata =
        format!(r#"{{"actor":"{strings}","correlation_id":["{strings}"],"{strings}":1}}"#);
    let id = format!("ada{script}\u{202e}\"'\n");
    let mut log = Log::with(&[]);
    for (version, (payload, metadata)) in (1..).zip([
        (hostile.as_str(), metadata.as_str()),
        (script, script),
        ("{\"a\":", "\u{202e}"),
    ]) {
        let mut event = event(version, payload, metadata);
        event.stream_id.clone_from(&id);
        event.event_type = format!("Noted{script}\"'\u{202e}\0");
        log.push(event);
    }
    let hostile = page(&mut log, &id);
    let harmless = {
        let mut log = Log::with(&["ada", "ada", "ada"]);
        page(&mut log, "ada")
    };
    // It has the kinds of tags that any page has, and no attribute of others.
    let kinds = |page: &str| -> BTreeSet<String> {
        let kind = |tag: &&str| !tag.starts_with("tr id=\"event-");
        tags(page)
            .into_iter()
            .filter(kind)
            .map(str::to_owned)
            .collect()
    };
    let mut ours = kinds(&harmless);
    ours.extend(["code", "/code"].map(str::to_owned));
    assert_eq!(kinds(&hostile).difference(&ours).count(), 0, "{hostile}");
    assert_eq!(rows(&hostile).len(), 3);
    assert!(!hostile.contains("<script") && !hostile.contains("<img"));
    let is_raw = |c: char| matches!(c, '\0' | '\u{1b}' | '\u{202e}' | '\u{200f}' | '\u{2028}');
    assert!(!hostile.contains(is_raw));
    for shown in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&quot;&gt;&lt;img src=x onerror=&#39;alert(1)&#39;&gt;",
        "\\u{202e}\\u{200f}\\u{2028}\\u{0}\\u{1b}[2J&amp;lt;",
    ] {
        assert!(hostile.contains(shown), "{shown}");
    }
}

#[test]
fn a_page_loads_and_runs_nothing() {
    let mut log = Log::with(&["ada"]);
    let page = page(&mut log, "ada");
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    for word in [
        "<script", "<link", "<img", "<iframe", "src=", "href=", "url(", "@import", "http:",
        "https:",
    ] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn an_account_without_events_has_a_page_that_says_so() {
    let mut log = Log::with(&["ada"]);
    let page = page(&mut log, "eve");
    assert!(page.contains("<bdi>account/eve</bdi> has no events up to position 1 of the store"));
    assert!(page.contains("<p>There are none.</p>"));
    assert!(rows(&page).is_empty());
}

#[test]
fn of_a_bundle_that_does_not_hold_there_is_no_page() {
    let mut log = Log::with(&["ada", "bob", "ada"]);
    let whole = log.bundle("ada");
    assert!(!answer(&log, &whole).output.is_empty());
    let mut altered = whole.clone();
    altered.events[0].payload.push(b' ');
    let mut truncated = whole.clone();
    truncated.events.pop();
    let mut renamed = whole.clone();
    renamed.stream.id = "bob".to_owned();
    let other = Log::new("ledger.example/a", 9);
    for (log, bundle) in [
        (&log, altered),
        (&log, truncated),
        (&log, renamed),
        (&other, whole),
    ] {
        let answer = answer(log, &bundle);
        assert_eq!(
            (answer.verdict, answer.output.as_str()),
            (Verdict::Refused, "")
        );
        assert!(answer.remarks.starts_with("REFUSED"));
    }
}

#[test]
fn whoever_took_another_s_word_is_told_how_to_do_so_again() {
    let mut log = Log::with(&["ada"]);
    let witness = Log::new("witness';id", 9);
    let mut bundle = log.bundle("ada");
    let sealed = log.seal();
    let signed = log.sign(&sealed).cosigned_by(witness.signing_key());
    bundle.checkpoint = signed.unwrap();
    let question = Question {
        keys: witness.keys(),
        origin: Some("ledger.example/a".parse().unwrap()),
        kept: Some(
            log.sign(&sealed)
                .cosigned_by(witness.signing_key())
                .unwrap()
                .to_string()
                .into_bytes(),
        ),
        form: Form::Page,
    };
    let answer = question.answer(&serde_json::to_vec(&bundle).unwrap());
    let command = "  --key &#39;witness&#39;\\&#39;&#39;;id+";
    assert!(answer.output.contains(command), "{}", answer.output);
    let rest = " \\\n  --origin &#39;ledger.example/a&#39; \\\n  --since CHECKPOINT-FILE</pre>";
    assert!(answer.output.contains(rest), "{}", answer.output);
}
