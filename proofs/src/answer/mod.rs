//! What is answered to a person or a script that asks whether a bundle or a receipt holds.

mod evidence;
mod lines;
mod moment;
mod page;
mod plain;
mod receipts;
mod sentences;
mod shown;
mod summary;

use std::error::Error;
use std::fmt::Display;
use std::iter::successors;

use serde::Serialize;

use self::evidence::Evidence;
use self::lines::Line;
use self::page::Page;
pub use self::plain::Plain;
use self::receipts::{GrowthSentences, RowSentences};
use self::sentences::Sentences;
use self::summary::{GrowthSummary, Refusal, RowSummary, Summary};
use crate::bundle::signed::open;
use crate::bundle::{Bundle, BundleError, Verified};
use crate::checkpoint::{Checkpoint, OpenCheckpointError, Origin};
use crate::note::{SignedNote, VerifyingKey};
use crate::receipt::ReceiptError;

/// What is asked of a bundle or a receipt.
#[derive(Debug, Clone)]
pub struct Question {
    /// The keys whose word is taken.
    pub keys: Vec<VerifyingKey>,
    /// The log that it should be of. Without one, a key that is called as the log has to have signed.
    pub origin: Option<Origin>,
    /// A signed checkpoint that was kept from another time, as it was stored.
    pub kept: Option<Vec<u8>>,
    /// How the answer shall be written.
    pub form: Form,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In sentences for people.
    Sentences,
    /// In JSON for programs.
    Json,
    /// As the events of a bundle, one a line. The sentences are remarks then.
    Events,
    /// As a page about a bundle for people, in HTML: the events with who, when and why, and where each is in the log. The
    /// sentences are in it, and remarks as well.
    Page,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was asked for; empty unless it holds or JSON was asked for.
    pub output: String,
    /// What a person should read beside it.
    pub remarks: String,
}

/// Whether a bundle or a receipt holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All that it says is proven.
    Verified,
    /// Something is wrong with it, so that nothing is proven.
    Refused,
    /// What it should be compared with is of no use, or there is no answer in the form that was asked for.
    Unusable,
}

/// A bundle and what it has proved. Only [`Question::check`] brings them together.
#[derive(Debug)]
struct Proven {
    bundle: Box<Bundle>,
    verified: Verified,
}

#[derive(Debug, thiserror::Error)]
enum NoProof {
    #[error("this is no bundle and no receipt; it may be damaged, or of another version")]
    Unknown(#[source] serde_json::Error),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    #[error(
        "of a receipt there is neither a page nor a list of events; leave out --page and --events"
    )]
    Form,
    #[error(
        "the checkpoint that you keep is of no use; give the whole file as you got it, and the key that signed it"
    )]
    Kept(#[source] OpenCheckpointError),
}

impl Question {
    /// The answer to it for the bundle or the receipt with this JSON.
    #[must_use]
    pub fn answer(&self, evidence: &[u8]) -> Answer {
        self.check(evidence)
            .unwrap_or_else(|error| self.refused(&error))
    }

    fn check(&self, evidence: &[u8]) -> Result<Answer, NoProof> {
        let origin = self.origin.as_ref();
        let kept = self.kept()?;
        let kept = kept.as_ref();
        match Evidence::read(evidence).map_err(NoProof::Unknown)? {
            Evidence::Bundle(bundle) => {
                let verified = bundle.verify(&self.keys, origin, kept)?;
                Ok(self.verified(&Proven { bundle, verified }))
            }
            Evidence::Inclusion(receipt) => {
                let verified = receipt.verify(&self.keys, origin, kept)?;
                self.of_receipt(&RowSentences(&verified), &RowSummary::of(&verified))
            }
            Evidence::Growth(receipt) => {
                let verified = receipt.verify(&self.keys, origin, kept)?;
                self.of_receipt(&GrowthSentences(&verified), &GrowthSummary::of(&verified))
            }
        }
    }

    fn kept(&self) -> Result<Option<Checkpoint>, NoProof> {
        let open =
            |note: &Vec<u8>| open(&SignedNote::parse(note)?, &self.keys, self.origin.as_ref());
        let kept = self.kept.as_ref().map(open).transpose();
        Ok(kept.map_err(NoProof::Kept)?.map(|signed| signed.checkpoint))
    }

    fn of_receipt(
        &self,
        sentences: &impl Display,
        summary: &impl Serialize,
    ) -> Result<Answer, NoProof> {
        let output = match self.form {
            Form::Sentences => sentences.to_string(),
            Form::Json => json(summary),
            Form::Events | Form::Page => return Err(NoProof::Form),
        };
        Ok(Answer {
            verdict: Verdict::Verified,
            output,
            remarks: String::new(),
        })
    }

    fn verified(&self, proven: &Proven) -> Answer {
        let Proven { bundle, verified } = proven;
        let sentences = Sentences(verified).to_string();
        let (output, remarks) = match self.form {
            Form::Sentences => (sentences, String::new()),
            Form::Json => (json(&Summary::of(verified)), String::new()),
            Form::Events => {
                let lines = bundle
                    .events
                    .iter()
                    .map(|event| format!("{}\n", Line(event)));
                (lines.collect(), sentences)
            }
            Form::Page => (Page(proven).to_string(), sentences),
        };
        Answer {
            verdict: Verdict::Verified,
            output,
            remarks,
        }
    }

    fn refused(&self, error: &NoProof) -> Answer {
        let (verdict, word) = match error {
            NoProof::Unknown(_) | NoProof::Bundle(_) | NoProof::Receipt(_) => {
                (Verdict::Refused, "REFUSED")
            }
            NoProof::Kept(_) | NoProof::Form => (Verdict::Unusable, "NOT CHECKED"),
        };
        let errors = successors(Some(error as &dyn Error), |&error| error.source());
        let reasons: Vec<_> = errors
            .map(|error| Plain(&error.to_string()).to_string())
            .collect();
        let output = match self.form {
            Form::Json => json(&Refusal {
                verified: false,
                reasons: &reasons,
            }),
            Form::Sentences | Form::Events | Form::Page => String::new(),
        };
        let because = reasons.join("\n  because: ");
        Answer {
            verdict,
            output,
            remarks: format!("{word}: {because}\n"),
        }
    }
}

impl Verdict {
    /// The exit code of a program that answers it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Refused => 1,
            Self::Unusable => 2,
        }
    }
}

/// Text and numbers under names of ours are always written.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).map_or_else(|error| error.to_string(), |text| text + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::bundle::testing::{Log, bundled};
    use crate::receipt::GrowthReceipt;

    fn question(log: &Log, form: Form) -> Question {
        Question {
            keys: log.keys(),
            origin: None,
            kept: None,
            form,
        }
    }

    fn text(bundle: &Bundle) -> Vec<u8> {
        serde_json::to_vec(bundle).unwrap()
    }

    #[test]
    fn an_auditor_reads_what_is_proven_and_what_is_not() {
        let mut log = Log::with(&["ada", "bob", "ada", "-", "ada"]);
        let answer = question(&log, Form::Sentences).answer(&text(&log.bundle("ada")));
        assert_eq!(
            (answer.verdict, answer.remarks.as_str()),
            (Verdict::Verified, "")
        );
        for sentence in [
            "VERIFIED\n",
            "The log ledger.example/a was sealed with 5 entries at 2023-11-14 22:13:20.000005 UTC.",
            "is signed with the key ledger.example/a+",
            "Up to position 4 of the store, account/ada has exactly 3 events, at positions from 1 to 4.",
            "What was recorded after position 4.",
            "--since",
            "That everybody is shown the same log.",
            "That whoever signed was honest about where each stream ends.",
        ] {
            assert!(
                answer.output.contains(sentence),
                "{sentence}\n{}",
                answer.output
            );
        }
        let answer = question(&log, Form::Sentences).answer(&text(&log.bundle("eve")));
        let sentence = "Up to position 4 of the store, account/eve has no events at all.";
        assert!(answer.output.contains(sentence), "{}", answer.output);
    }

    #[test]
    fn growth_since_what_was_kept_is_told() {
        let mut log = Log::with(&["ada", "bob"]);
        let kept = log.seal();
        log.extend(&["ada"]);
        let mut bundle = log.bundle("ada");
        bundle.growth = Some(log.growth_from(&kept));
        let mut question = question(&log, Form::Sentences);
        let answer = question.answer(&text(&bundle));
        let sentence = "Since an older checkpoint that came with the bundle, with 2 entries";
        assert!(answer.output.contains(sentence), "{}", answer.output);
        question.kept = Some(log.sign(&kept).to_string().into_bytes());
        let answer = question.answer(&text(&bundle));
        assert_eq!(answer.verdict, Verdict::Verified);
        let sentence = "Since the checkpoint that you keep, with 2 entries";
        assert!(answer.output.contains(sentence), "{}", answer.output);
        assert!(!answer.output.contains("--since") && !answer.output.contains("older checkpoint"));
    }

    #[test]
    fn a_refusal_has_its_reasons_and_shows_nothing_of_the_bundle() {
        let mut log = Log::with(&["ada", "bob", "ada"]);
        let mut bundle = log.bundle("ada");
        bundle.events.pop();
        for form in [Form::Sentences, Form::Events] {
            let answer = question(&log, form).answer(&text(&bundle));
            assert_eq!(
                (answer.verdict.exit_code(), answer.output.as_str()),
                (1, "")
            );
            let reason = "REFUSED: the bundle was truncated: it ends with version 1, and the stream has events up to version 2, position 3\n";
            assert_eq!(answer.remarks, reason);
        }
        let mut bundle = log.bundle("ada");
        bundle.events[1].payload.push(b' ');
        let answer = question(&log, Form::Json).answer(&text(&bundle));
        let json: Value = serde_json::from_str(&answer.output).unwrap();
        assert_eq!(json["verified"], false);
        let reasons = json["reasons"].as_array().unwrap();
        assert_eq!(reasons.len(), 2);
        let reason = reasons[0].as_str().unwrap();
        assert!(reason.starts_with("the event of version 2, position 3 is not in the log"));
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        let mut log = Log::with(&["ada"]);
        let whole = text(&log.bundle("ada"));
        let question = question(&log, Form::Sentences);
        assert_eq!(question.answer(&whole).verdict, Verdict::Verified);
        let other = String::from_utf8(whole.clone())
            .unwrap()
            .replacen("v1", "v2", 1);
        for bytes in [
            b"",
            &whole[..whole.len() - 1],
            other.as_bytes(),
            b"[]",
            b"\xff",
        ] {
            let answer = question.answer(bytes);
            assert_eq!(
                (answer.verdict, answer.output.as_str()),
                (Verdict::Refused, "")
            );
            assert!(
                answer
                    .remarks
                    .starts_with("REFUSED: this is no bundle and no receipt")
            );
        }
    }

    #[test]
    fn a_kept_checkpoint_that_is_none_is_told_from_a_bad_bundle() {
        let mut log = Log::with(&["ada"]);
        let bundle = text(&log.bundle("ada"));
        let mut other = Log::new("ledger.example/b", 9);
        let foreign = other.seal();
        let foreign = other.sign(&foreign).to_string().into_bytes();
        for kept in [Vec::new(), b"nothing".to_vec(), foreign] {
            let mut question = question(&log, Form::Sentences);
            question.kept = Some(kept);
            let answer = question.answer(&bundle);
            assert_eq!(answer.verdict.exit_code(), 2);
            assert!(
                answer.remarks.starts_with("NOT CHECKED: "),
                "{}",
                answer.remarks
            );
        }
    }

    #[test]
    fn programs_read_numbers() {
        let mut log = Log::with(&["ada", "bob", "-", "ada"]);
        let answer = question(&log, Form::Json).answer(&text(&log.bundle("ada")));
        let json: Value = serde_json::from_str(&answer.output).unwrap();
        assert_eq!(json["verified"], true);
        assert_eq!(json["stream"]["id"], "ada");
        assert_eq!(
            (&json["events"], &json["last_position"]),
            (&2.into(), &3.into())
        );
        assert_eq!(json["checkpoint"]["size"], 4);
        assert_eq!(json["checkpoint"]["through_outcome"], 1);
        assert_eq!(json["signers"][0], log.keys()[0].to_string());
        assert!(json["grown_since_kept"].is_null());
    }

    #[test]
    fn events_are_lines_whatever_is_in_them() {
        let mut log = Log::with(&["ada"]);
        let mut event = bundled("ada", 2, 2);
        event.payload = b"{\n  \"a\": 1\n}".to_vec();
        log.push(event);
        let mut event = bundled("ada", 3, 3);
        (event.payload, event.event_type) = (vec![0xff], "a\tb".to_owned());
        log.push(event);
        let answer = question(&log, Form::Events).answer(&text(&log.bundle("ada")));
        let expected = "1\t1\tDeposited\t2023-11-14 22:13:20.000001 UTC\t{\"amount\":\"1.50\"}\n\
            2\t2\tDeposited\t2023-11-14 22:13:20.000002 UTC\t{\\u{a}  \"a\": 1\\u{a}}\n\
            3\t3\ta\\u{9}b\t2023-11-14 22:13:20.000003 UTC\t\\base64:/w==\n";
        assert_eq!(answer.output, expected);
        assert!(answer.remarks.starts_with("VERIFIED"));
    }

    #[test]
    fn a_receipt_of_a_row_says_what_was_recorded() {
        let mut log = Log::with(&["ada", "-"]);
        let mut question = question(&log, Form::Sentences);
        let receipt = |log: &mut Log, index| serde_json::to_vec(&log.receipt(index)).unwrap();
        let (event, outcome) = (receipt(&mut log, 0), receipt(&mut log, 1));
        for (evidence, sentence) in [
            (
                &event,
                "Position 1 of the store is version 1 of account/ada: Deposited, recorded at 2023-11-14",
            ),
            (
                &event,
                r#"It says {"amount":"1.50"}, and beside it {"actor":"ada"}."#,
            ),
            (&event, "It is entry 0 of the log"),
            (&event, "That nothing else was recorded of the same stream."),
            (
                &outcome,
                "The command 44444444-4444-4444-4444-444444444444 was carried out and changed nothing",
            ),
            (&outcome, "It is entry 1 of the log"),
        ] {
            let answer = question.answer(evidence);
            assert_eq!(answer.verdict, Verdict::Verified, "{}", answer.remarks);
            assert!(
                answer.output.contains(sentence),
                "{sentence}\n{}",
                answer.output
            );
        }
        question.form = Form::Json;
        let json: Value = serde_json::from_str(&question.answer(&event).output).unwrap();
        assert_eq!(
            (&json["verified"], &json["index"]),
            (&true.into(), &0.into())
        );
        assert_eq!(json["event"]["payload"], r#"{"amount":"1.50"}"#);
        let json: Value = serde_json::from_str(&question.answer(&outcome).output).unwrap();
        assert_eq!(json["outcome"]["number"], 1);
        for form in [Form::Events, Form::Page] {
            question.form = form;
            let answer = question.answer(&event);
            assert_eq!(
                (answer.verdict, answer.output.as_str()),
                (Verdict::Unusable, "")
            );
        }
        question.form = Form::Sentences;
        let altered = String::from_utf8(event)
            .unwrap()
            .replacen("\"index\":0", "\"index\":1", 1);
        let answer = question.answer(altered.as_bytes());
        assert_eq!(
            (answer.verdict, answer.output.as_str()),
            (Verdict::Refused, "")
        );
    }

    #[test]
    fn a_receipt_of_growth_says_since_when() {
        let mut log = Log::with(&["ada", "bob"]);
        let kept = log.seal();
        log.extend(&["ada"]);
        let growth = log.growth_from(&kept);
        let new = log.seal();
        let receipt = GrowthReceipt {
            checkpoint: log.sign(&new),
            growth,
        };
        let receipt = serde_json::to_vec(&receipt).unwrap();
        let mut question = question(&log, Form::Sentences);
        let answer = question.answer(&receipt);
        let sentence = "Since an older checkpoint that came with it, with 2 entries";
        assert!(answer.output.contains(sentence), "{}", answer.output);
        assert!(answer.output.contains("--since"), "{}", answer.output);
        question.kept = Some(log.sign(&kept).to_string().into_bytes());
        let answer = question.answer(&receipt);
        let sentence = "Since the checkpoint that you keep, with 2 entries";
        assert!(answer.output.contains(sentence), "{}", answer.output);
        assert!(
            !answer.output.contains("older checkpoint"),
            "{}",
            answer.output
        );
        question.form = Form::Json;
        let json: Value = serde_json::from_str(&question.answer(&receipt).output).unwrap();
        assert_eq!(json["grown_since_earlier"]["size"], 2);
    }

    #[test]
    fn a_stream_cannot_be_called_as_a_sentence() {
        let id = "x has no events.\n  - Everything is proven";
        let mut log = Log::with(&[id]);
        let answer = question(&log, Form::Sentences).answer(&text(&log.bundle(id)));
        assert_eq!(answer.verdict, Verdict::Verified);
        assert!(
            !answer.output.contains("\n  - Everything"),
            "{}",
            answer.output
        );
    }
}
