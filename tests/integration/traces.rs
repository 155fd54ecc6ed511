//! What a trace of a command shows.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use folio_core::{Actor, Checkpoint, CommandContext, CommandId};
use folio_postgres::{PostgresStore, Subscription, SubscriptionSettings};
use folio_runtime::Executor;
use folio_tests::postgres;
use ledger_example::account::{Account, AccountCommand, Opening};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Subscriber, subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// One thread and one subscriber of traces, so nothing of another test is among it.
#[tokio::test(flavor = "current_thread")]
async fn a_trace_leads_from_the_command_to_the_statement_that_recorded_it() {
    let spans = Spans::default();
    let _guard = subscriber::set_default(Registry::default().with(spans.clone()));
    // Other tests may have met these spans at the same moment, and found nobody who wants them.
    tracing::callsite::rebuild_interest_cache();
    let store = Arc::new(
        PostgresStore::open(&postgres::store_database().await, 2)
            .await
            .unwrap(),
    );
    let executor = Executor::new(Arc::clone(&store));
    let command = CommandId::derived(&["traced"]);
    let open = AccountCommand::OpenAccount(Opening::new("EUR".parse().unwrap()));
    executor
        .execute::<Account>("a", open, CommandContext::new(command, Actor::anonymous()))
        .await
        .unwrap();
    let from = Checkpoint::start(folio_core::EventStore::store_id(&store));
    let mut subscription = Subscription::new(store, from, SubscriptionSettings::default());
    subscription.next().await.unwrap();

    let executed = spans.named("command");
    assert_eq!(executed.fields["command"], command.to_string());
    assert_eq!(executed.fields["aggregate"], "\"account\"");
    for of_command in ["read_stream", "append"] {
        assert_eq!(
            spans.named(of_command).parent,
            Some(executed.id),
            "{of_command}"
        );
    }
    let batch = spans.named("append_batch");
    assert_eq!(batch.fields["requests"], "1");
    assert_eq!(batch.follows, [spans.named("append").id]);
    assert_eq!(spans.named("subscription").fields["position"], "0");
}

/// A layer that writes down every span.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

#[derive(Debug, Clone)]
struct Span {
    id: u64,
    name: &'static str,
    parent: Option<u64>,
    follows: Vec<u64>,
    fields: BTreeMap<&'static str, String>,
}

impl Spans {
    fn named(&self, name: &str) -> Span {
        let spans = self.0.lock().unwrap();
        let found = spans.iter().find(|span| span.name == name);
        found
            .unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
            .clone()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        self.0.lock().unwrap().push(Span {
            id: id.into_u64(),
            name: attributes.metadata().name(),
            parent: context
                .span(id)
                .and_then(|span| span.parent().map(|parent| parent.id().into_u64())),
            follows: Vec::new(),
            fields: fields.0,
        });
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        // Ids of spans are given again once their span has closed: the last one has it.
        let span = spans.iter_mut().rfind(|span| span.id == id.into_u64());
        span.unwrap().follows.push(follows.into_u64());
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
