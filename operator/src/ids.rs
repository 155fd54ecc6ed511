//! Ids, in the forms in which people meet them.

use folio_core::{CommandId, CorrelationId};
use uuid::Uuid;

/// The correlation id that an argument says: as events have it, as the trace id of W3C Trace Context, or as the whole
/// `traceparent` that a client sent or was answered.
pub(crate) fn correlation(text: &str) -> Result<CorrelationId, &'static str> {
    id(trace_id(text)).map(CorrelationId::from_uuid).ok_or(
        "a correlation id is a UUID, the 32 hex digits of a trace id, or a whole traceparent",
    )
}

/// The command's id that an argument says.
pub(crate) fn command(text: &str) -> Result<CommandId, &'static str> {
    id(text)
        .map(CommandId::from_uuid)
        .ok_or("the id of a command is a UUID")
}

/// That of a traceparent, else the text itself.
fn trace_id(text: &str) -> &str {
    match text.split('-').collect::<Vec<_>>()[..] {
        ["00", id, parent, flags] if id.len() == 32 && parent.len() == 16 && flags.len() == 2 => id,
        _ => text,
    }
}

fn id(text: &str) -> Option<Uuid> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_plain.then(|| Uuid::try_parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_is_known_in_each_of_its_forms() {
        let id = "0af76519-16cd-43dd-8448-eb211c80319c";
        for text in [
            id,
            "0AF76519-16CD-43DD-8448-EB211C80319C",
            "0af7651916cd43dd8448eb211c80319c",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(correlation(text).unwrap().to_string(), id, "{text}");
        }
        for text in [
            "",
            "0af7651916cd43dd8448eb211c80319",
            "00-0af7651916cd43dd8448eb211c80319c",
            "{0af76519-16cd-43dd-8448-eb211c80319c}",
            "rent-2026-11",
        ] {
            assert!(correlation(text).is_err(), "{text}");
            assert!(command(text).is_err(), "{text}");
        }
    }
}
