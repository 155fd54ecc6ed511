//! The trace that a request belongs to, by W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use uuid::fmt::{Hyphenated, Simple};
use uuid::{Builder, Uuid};

/// The header.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors say beside it.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Most of what vendors say: bytes in all, members, and bytes of a key or a value.
const STATE_BYTES: usize = 512;
const STATE_MEMBERS: usize = 32;
const STATE_PART: usize = 256;
/// Digits of the header's value: a version, a trace, a span and flags, with a dash between two.
const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;

/// The trace that a request belongs to. Its id is the correlation id of all that the request causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    id: Uuid,
    /// The door's own part of it.
    span: u64,
    flags: u8,
    continued: bool,
}

impl Trace {
    /// The one that the client is in, or a new one where it says none or what is none.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut said = headers.get_all(TRACEPARENT).iter();
        let (one, another) = (said.next(), said.next());
        let text = one.filter(|_| another.is_none());
        let text = text.and_then(|value| value.to_str().ok());
        text.and_then(Self::parse).unwrap_or_else(|| {
            // Of the trace that begins with it, a span may have some bits of the id.
            let span = new_span();
            Self {
                id: new_id(span),
                span,
                flags: 0,
                continued: false,
            }
        })
    }

    /// Its id.
    pub(crate) const fn id(self) -> Uuid {
        self.id
    }

    /// Its id, as events have it.
    pub(crate) const fn correlation_id(self) -> Hyphenated {
        self.id.hyphenated()
    }

    /// Whether it is the client's: else what vendors say belongs to another one.
    pub(crate) const fn is_continued(self) -> bool {
        self.continued
    }

    /// What goes on to a service, and back to the client: the same trace, a span of the door's own.
    pub(crate) fn header(self) -> Result<HeaderValue, InvalidHeaderValue> {
        // Span and flags are written as what an id is too: to format them by themselves takes three times as long.
        let rest = Uuid::from_u64_pair(self.span, u64::from(self.flags) << 56);
        let (mut id, mut digits) = ([0; Simple::LENGTH], [0; Simple::LENGTH]);
        let (span, rest) = rest.simple().encode_lower(&mut digits).split_at(16);
        let (flags, _) = rest.split_at(2);
        let mut text = String::with_capacity(LENGTH);
        for part in [
            "00-",
            self.id.simple().encode_lower(&mut id),
            "-",
            span,
            "-",
            flags,
        ] {
            text.push_str(part);
        }
        HeaderValue::try_from(text)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let (version, id, parent, flags) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        let is_hex = |field: &str, digits: usize| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            field.len() == digits && field.bytes().all(is_digit)
        };
        let is_fine = version == "00"
            && fields.next().is_none()
            && is_hex(id, 32)
            && is_hex(parent, 16)
            && is_hex(flags, 2)
            && parent.bytes().any(|byte| byte != b'0');
        let id = Uuid::parse_str(id)
            .ok()
            .filter(|id| is_fine && !id.is_nil())?;
        Some(Self {
            id,
            span: new_span(),
            flags: u8::from_str_radix(flags, 16).ok()?,
            continued: true,
        })
    }
}

/// Whether this can go on as what vendors say beside a trace: as W3C has it, at most 32 members of a key and a value, and no more bytes
/// than all must pass on.
pub(crate) fn is_state(said: &HeaderValue) -> bool {
    let Ok(text) = said.to_str() else {
        return false;
    };
    let is_in_key =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let is_in_value = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    let is_member = |member: &str| {
        let member = member.trim_matches([' ', '\t']);
        // An empty one is allowed.
        member.is_empty()
            || member.split_once('=').is_some_and(|(key, value)| {
                !key.is_empty()
                    && !value.is_empty()
                    && key.len() <= STATE_PART
                    && value.len() <= STATE_PART
                    && key.bytes().all(is_in_key)
                    && value.bytes().all(is_in_value)
            })
    };
    text.len() <= STATE_BYTES
        && text.split(',').count() <= STATE_MEMBERS
        && text.split(',').all(is_member)
}

/// An id in which the time comes first, as in all of Folio's.
fn new_id(span: u64) -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = now.map_or(0, |now| now.as_millis());
    let mut random = [0; 10];
    let (first, rest) = random.split_at_mut(8);
    first.copy_from_slice(&chance().to_ne_bytes());
    rest.copy_from_slice(&span.to_ne_bytes()[..2]);
    Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(u64::MAX), &random)
        .into_uuid()
}

/// An id of a span is never zero.
fn new_span() -> u64 {
    chance().max(1)
}

/// What nobody guesses, without asking the system each time: a count, hashed with this thread's own keys of hashing, which are the
/// randomness that the standard library has.
fn chance() -> u64 {
    thread_local! {
        static SOURCE: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    SOURCE.with(|(keys, count)| {
        let next = count.get().wrapping_add(1);
        count.set(next);
        keys.hash_one(next)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_trace_and_each_span_is_another_one() {
        let traces: Vec<Trace> = (0..1_000).map(|_| Trace::of(&HeaderMap::new())).collect();
        let ids: HashSet<Uuid> = traces.iter().map(|trace| trace.id).collect();
        let spans: HashSet<u64> = traces.iter().map(|trace| trace.span).collect();
        assert_eq!((ids.len(), spans.len()), (1_000, 1_000));
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn what_vendors_say_goes_on_where_it_is_some() {
        let is_state = |text: &str| is_state(&HeaderValue::from_str(text).unwrap());
        for fine in ["a=1", "rojo=00f0, congo=t61,", "fw529a3039@dt=FfAz!;", ""] {
            assert!(is_state(fine), "{fine}");
        }
        let long = format!("a={}", "x".repeat(257));
        let many = ["a=1"; 33].join(",");
        for wrong in [
            "a", "A=1", "a=", "=1", "a=b=c", "a b=1", "a=\tb", &long, &many,
        ] {
            assert!(!is_state(wrong), "{wrong}");
        }
        assert!(!super::is_state(
            &HeaderValue::from_bytes(b"a=\xff").unwrap()
        ));
        assert!(!is_state(&format!("a={0},b={0},c={0}", "x".repeat(200))));
    }

    #[test]
    fn the_header_has_the_trace_the_span_and_the_flags_in_their_places() {
        let trace = Trace {
            id: Uuid::from_u128(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
            span: 0x00b7_ad6b_7169_2033,
            flags: 1,
            continued: true,
        };
        let header = trace.header().unwrap();
        assert_eq!(
            header,
            "00-0af7651916cd43dd8448eb211c80319c-00b7ad6b71692033-01"
        );
        assert_eq!(header.len(), LENGTH);
    }

    #[test]
    fn a_trace_that_is_none_is_begun_anew() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, text.parse().unwrap());
            Trace::of(&headers)
        };
        let text = |trace: Trace| trace.header().unwrap().to_str().unwrap().to_owned();
        let good = of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(
            good.correlation_id().to_string(),
            "0af76519-16cd-43dd-8448-eb211c80319c"
        );
        assert!(good.is_continued());
        assert!(
            text(good).starts_with("00-0af7651916cd43dd8448eb211c80319c-")
                && text(good).ends_with("-01")
        );
        let long = "0".repeat(9_000);
        for said in [
            "",
            "junk",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            &long,
        ] {
            assert!(!of(said).is_continued(), "{said}");
        }
    }
}
