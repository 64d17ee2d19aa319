//! The transport of the SDK that redacts everything and sends it through the outbox: our reports, and whatever the
//! application itself captures.

use std::sync::Arc;
use std::time::Duration;

use sentry::{Envelope, Transport, TransportFactory, TransportOptions};
use throughline_core::Redactor;

use crate::endpoint::Endpoint;
use crate::outbox::Outbox;
use crate::redact;

/// Makes the transport of a client.
pub(crate) struct Factory {
    pub(crate) outbox: Outbox,
    pub(crate) redactor: Arc<Redactor>,
}

struct Redacting {
    outbox: Outbox,
    redactor: Arc<Redactor>,
    endpoint: Arc<Endpoint>,
}

impl TransportFactory for Factory {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        Arc::new(Redacting {
            outbox: self.outbox.clone(),
            redactor: Arc::clone(&self.redactor),
            endpoint: Arc::new(Endpoint::new(&options)),
        })
    }
}

impl Transport for Redacting {
    fn send_envelope(&self, envelope: Envelope) {
        let clean = redact::envelope(&self.redactor, envelope);
        if clean.items().next().is_some() {
            self.outbox.send(Arc::clone(&self.endpoint), clean);
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        self.outbox.wait(timeout)
    }
}
