//! The trace that a request belongs to, by W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use hyper::HeaderMap;
use uuid::Uuid;

/// The header.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// What vendors say beside it.
pub(crate) const TRACESTATE: &str = "tracestate";

/// The trace that a request belongs to. Its id is the correlation id of all that the request causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    id: Uuid,
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
        text.and_then(Self::parse).unwrap_or_else(|| Self {
            id: Uuid::now_v7(),
            flags: 0,
            continued: false,
        })
    }

    /// Its id, as events have it.
    pub(crate) fn correlation_id(self) -> String {
        self.id.to_string()
    }

    /// Whether it is the client's: else what vendors say belongs to another one.
    pub(crate) const fn is_continued(self) -> bool {
        self.continued
    }

    /// What goes on to a service: the same trace, a span of the door's own.
    pub(crate) fn header(self) -> String {
        let (_, span) = Uuid::now_v7().as_u64_pair();
        format!("00-{}-{span:016x}-{:02x}", self.id.simple(), self.flags)
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
            flags: u8::from_str_radix(flags, 16).ok()?,
            continued: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_is_none_is_begun_anew() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, text.parse().unwrap());
            Trace::of(&headers)
        };
        let good = of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(
            good.correlation_id(),
            "0af76519-16cd-43dd-8448-eb211c80319c"
        );
        assert!(good.is_continued());
        assert!(
            good.header()
                .starts_with("00-0af7651916cd43dd8448eb211c80319c-")
        );
        let long = "0".repeat(9_000);
        for text in [
            "",
            "junk",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            &long,
        ] {
            assert!(!of(text).is_continued(), "{text}");
        }
    }
}
