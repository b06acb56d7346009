//! Whose key a request came with, on the span of the request.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use keygate_core::limits::Limits;
use keygate_http::gate::Gate;
use tracing::field::{Empty, Field, Visit};
use tracing::span::{Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::support::{Deployment, GET, ask};

/// What was recorded, on whatever span.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<BTreeMap<String, String>>>);

impl<S: tracing::Subscriber> Layer<S> for Recorded {
    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut self.clone());
    }
}

impl Visit for Recorded {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.lock().unwrap().insert(field.name().to_owned(), value.to_owned());
    }
}

#[tokio::test]
async fn what_a_span_declares_is_recorded_where_that_is_wanted_and_nothing_else() {
    keygate_testkit::log::listen();
    let deployment = Deployment::start().await;
    let key = deployment.key(Limits::UNLIMITED).await;
    let gate = Gate::new(deployment.manager.clone());
    let admission = ask(&gate, GET, &key).await.unwrap();

    let recorded = Recorded::default();
    let subscriber = tracing_subscriber::registry().with(recorded.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let follow = |gate: &Gate| {
        gate.follow(&admission).answered(200);
        std::mem::take(&mut *recorded.0.lock().unwrap())
    };
    let recording = gate.clone().record_span_fields(true);
    assert!(follow(&recording).is_empty(), "there is no span");

    let span = tracing::info_span!("request", key_id = Empty, organization_id = Empty, user_id = Empty, path = Empty);
    span.in_scope(|| {
        assert!(follow(&gate).is_empty(), "nobody asked for it");
        let key_id = admission.id.to_string();
        let fields = [("key_id", &*key_id), ("organization_id", "acme"), ("user_id", "ada")];
        let expected = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(follow(&recording).into_iter().collect::<Vec<_>>(), expected);
    });
    tracing::info_span!("request", organization_id = Empty).in_scope(|| {
        assert_eq!(follow(&recording).into_keys().collect::<Vec<_>>(), ["organization_id"]);
    });
}
