//! What a feed is asked for.

use std::time::Duration;

use folio_core::filter::Scope;
use folio_core::{BatchSize, Filter, Position, StoreId};
use reqwest::Url;

/// One request to a feed.
#[derive(Debug, Clone)]
pub(crate) struct FeedRequest {
    pub(crate) after: Position,
    /// None as long as it is not known.
    pub(crate) store_id: Option<StoreId>,
    pub(crate) limit: BatchSize,
    pub(crate) filter: Filter,
    pub(crate) wait: Duration,
}

impl FeedRequest {
    /// Asks who answers and how far the store has come: there is nothing after the last position.
    pub(crate) fn head(store_id: Option<StoreId>) -> Self {
        Self {
            after: Position::MAX,
            store_id,
            limit: BatchSize::ONE,
            filter: Filter::all(),
            wait: Duration::ZERO,
        }
    }

    pub(crate) fn url(&self, feed: &Url) -> Url {
        let mut url = feed.clone();
        let mut query = url.query_pairs_mut();
        let mut put = |name: &str, value: &str| {
            query.append_pair(name, value);
        };
        put("after", &self.after.to_string());
        if let Some(store_id) = self.store_id {
            put("store", &store_id.to_string());
        }
        put("limit", &self.limit.events().to_string());
        match self.filter.scope() {
            Scope::Category(category) => put("category", category),
            Scope::Stream(stream) => {
                put("category", stream.category());
                put("stream", stream.id());
            }
            // A feed that gives more than is wanted does no harm: the reader leaves it out.
            Scope::All | _ => {}
        }
        if let Some(member) = self.filter.member() {
            put("member", &member.number().to_string());
            put("of", &member.of().to_string());
        }
        if !self.wait.is_zero() {
            put("wait_ms", &self.wait.as_millis().to_string());
        }
        drop(query);
        url
    }
}

#[cfg(test)]
mod tests {
    use folio_core::{Member, StreamId};

    use super::*;

    #[test]
    fn all_that_is_wanted_stands_in_the_url() {
        let stream = StreamId::new("account", "ä&of=7").unwrap();
        let request = FeedRequest {
            after: Position::MAX,
            filter: Filter::stream(stream).for_member(Member::new(1, 4).unwrap()),
            wait: Duration::from_secs(2),
            ..FeedRequest::head(None)
        };
        let url = request.url(&"http://accounts/v1/feed".parse().unwrap());
        assert_eq!(
            url.as_str(),
            "http://accounts/v1/feed?after=9223372036854775807&limit=1&category=account\
             &stream=%C3%A4%26of%3D7&member=1&of=4&wait_ms=2000"
        );
    }
}
