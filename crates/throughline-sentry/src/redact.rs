//! What redaction does with an envelope, field by field, by any code that filled it: this crate, the application, or an integration
//! of the SDK. It is idempotent, as redaction is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use sentry::Envelope;
use sentry::protocol::{
    Breadcrumb, ClientSdkInfo, Context, EnvelopeHeaders, EnvelopeItem, Event, Exception, Frame, IpAddress,
    ItemContainer, LogAttribute, LogEntry, Request, Span, Stacktrace, Thread, TraceContext, Transaction,
    User,
};
use serde_json::{Map, Value};
use throughline_core::Redactor;

/// An envelope without secrets. Attachments are bytes of which nobody knows what they mean, and are left out. Of the headers
/// the id stays, which is all that a server needs.
pub(crate) fn envelope(redactor: &Redactor, envelope: Envelope) -> Envelope {
    let mut headers = EnvelopeHeaders::new().with_sent_at(SystemTime::now());
    if let Some(id) = envelope.uuid() {
        headers = headers.with_event_id(*id);
    }
    let mut clean = Envelope::new().with_headers(headers);
    for mut item in envelope.into_items() {
        match &mut item {
            EnvelopeItem::Event(event) => self::event(redactor, event),
            EnvelopeItem::Transaction(transaction) => self::transaction(redactor, transaction),
            EnvelopeItem::ItemContainer(ItemContainer::Logs(logs)) => {
                for log in logs {
                    text(redactor, &mut log.body);
                    attributes(redactor, &mut log.attributes, String::as_str);
                }
            }
            EnvelopeItem::ItemContainer(ItemContainer::Metrics(metrics)) => {
                for metric in metrics {
                    attributes(redactor, &mut metric.attributes, |key| key);
                }
            }
            EnvelopeItem::SessionUpdate(session) => session.distinct_id = None,
            EnvelopeItem::SessionAggregates(_)
            | EnvelopeItem::MonitorCheckIn(_)
            | EnvelopeItem::ClientReport(_) => {}
            _ => continue,
        }
        clean.add_item(item);
    }
    clean
}

/// Every field is named, here and below, so that a new one does not compile until it is said here what redaction does
/// with it.
pub(crate) fn event(redactor: &Redactor, event: &mut Event<'static>) {
    let Event {
        fingerprint,
        culprit,
        transaction,
        message,
        logentry,
        logger,
        server_name,
        release,
        dist,
        environment,
        user,
        request,
        contexts,
        breadcrumbs,
        exception,
        stacktrace,
        template,
        threads,
        tags,
        extra,
        sdk,
        // Ids, times, levels, and what the compiler knows.
        event_id: _,
        level: _,
        timestamp: _,
        platform: _,
        modules: _,
        debug_meta: _,
    } = event;
    for part in fingerprint.to_mut() {
        name(redactor, part);
    }
    [culprit, transaction, logger].into_iter().for_each(|name| maybe(redactor, name));
    maybe(redactor, message);
    if let Some(LogEntry { message, params }) = logentry {
        text(redactor, message);
        params.iter_mut().for_each(|param| value(redactor, param));
    }
    labels(redactor, [server_name, release, dist, environment]);
    maybe_user(redactor, user);
    maybe_request(redactor, request);
    self::contexts(redactor, contexts);
    breadcrumbs.values.iter_mut().for_each(|crumb| breadcrumb(redactor, crumb));
    exception.values.iter_mut().for_each(|raised| self::exception(redactor, raised));
    maybe_stacktrace(redactor, stacktrace);
    if let Some(template) = template {
        let lines = template
            .pre_context
            .iter_mut()
            .chain(&mut template.context_line)
            .chain(&mut template.post_context);
        lines
            .chain(&mut template.filename)
            .chain(&mut template.abs_path)
            .for_each(|line| text(redactor, line));
    }
    for Thread { name, stacktrace, raw_stacktrace, id: _, crashed: _, current: _ } in &mut threads.values {
        maybe(redactor, name);
        maybe_stacktrace(redactor, stacktrace);
        maybe_stacktrace(redactor, raw_stacktrace);
    }
    self::tags(redactor, tags);
    fields(redactor, extra);
    if let Some(ClientSdkInfo { name, version: _, integrations: _, packages: _ }) =
        sdk.as_mut().map(Cow::to_mut)
    {
        text(redactor, name);
    }
}

pub(crate) fn transaction(redactor: &Redactor, transaction: &mut Transaction<'static>) {
    let Transaction {
        name,
        release,
        environment,
        user,
        tags,
        extra,
        spans,
        contexts,
        request,
        server_name,
        // Ids, times, and what the compiler knows.
        event_id: _,
        sdk: _,
        platform: _,
        timestamp: _,
        start_timestamp: _,
    } = transaction;
    maybe(redactor, name);
    labels(redactor, [release, environment, server_name]);
    maybe_user(redactor, user);
    self::tags(redactor, tags);
    fields(redactor, extra);
    for Span { op, description, tags, data, .. } in spans {
        maybe(redactor, op);
        maybe(redactor, description);
        self::tags(redactor, tags);
        fields(redactor, data);
    }
    self::contexts(redactor, contexts);
    maybe_request(redactor, request);
}

pub(crate) fn breadcrumb(redactor: &Redactor, crumb: &mut Breadcrumb) {
    let Breadcrumb { ty, category, message, data, timestamp: _, level: _ } = crumb;
    text(redactor, ty);
    maybe(redactor, category);
    maybe(redactor, message);
    fields(redactor, data);
}

fn exception(redactor: &Redactor, exception: &mut Exception) {
    let Exception { ty, value, module, stacktrace, raw_stacktrace, thread_id: _, mechanism } = exception;
    text(redactor, ty);
    maybe(redactor, value);
    maybe(redactor, module);
    maybe_stacktrace(redactor, stacktrace);
    maybe_stacktrace(redactor, raw_stacktrace);
    if let Some(mechanism) = mechanism {
        text(redactor, &mut mechanism.ty);
        maybe(redactor, &mut mechanism.description);
        fields(redactor, &mut mechanism.data);
    }
}

fn maybe_stacktrace(redactor: &Redactor, stacktrace: &mut Option<Stacktrace>) {
    for frame in stacktrace.iter_mut().flat_map(|stacktrace| &mut stacktrace.frames) {
        let Frame {
            function,
            symbol,
            module,
            package,
            filename,
            abs_path,
            pre_context,
            context_line,
            post_context,
            vars,
            lineno: _,
            colno: _,
            in_app: _,
            image_addr: _,
            instruction_addr: _,
            symbol_addr: _,
            addr_mode: _,
        } = frame;
        for named in [function, symbol, module, package, filename, abs_path, context_line] {
            maybe(redactor, named);
        }
        pre_context.iter_mut().chain(post_context).for_each(|line| text(redactor, line));
        fields(redactor, vars);
    }
}

fn maybe_user(redactor: &Redactor, user: &mut Option<User>) {
    let Some(User { id, email, ip_address, username, other }) = user else { return };
    findable(redactor, "user_id", id);
    findable(redactor, "email", email);
    findable(redactor, "username", username);
    // An address has no redacted form: it is there or not.
    if let Some(IpAddress::Exact(address)) = ip_address {
        let address = address.to_string();
        if redactor.findable(Some("ip_address"), &address) != address {
            *ip_address = None;
        }
    }
    fields(redactor, other);
}

fn maybe_request(redactor: &Redactor, request: &mut Option<Request>) {
    let Some(Request { url, method, data, query_string, cookies, headers, env }) = request else { return };
    if let Some(address) = url {
        *url = redactor.text(address.as_str()).parse().ok();
    }
    maybe(redactor, method);
    if let Some(body) = data {
        match serde_json::from_str::<Value>(body) {
            Ok(mut read @ (Value::Object(_) | Value::Array(_))) => {
                value(redactor, &mut read);
                *body = read.to_string();
            }
            _ => text(redactor, body),
        }
    }
    maybe(redactor, query_string);
    if let Some(cookies) = cookies {
        let mut named = BTreeMap::from([("cookie".to_owned(), Value::from(std::mem::take(cookies)))]);
        fields(redactor, &mut named);
        *cookies = named.into_values().map(into_text).collect();
    }
    for pairs in [headers, env] {
        let mut values =
            std::mem::take(pairs).into_iter().map(|(key, text)| (key, Value::from(text))).collect();
        fields(redactor, &mut values);
        *pairs = values.into_iter().map(|(key, value)| (key, into_text(value))).collect();
    }
}

fn contexts(redactor: &Redactor, contexts: &mut BTreeMap<String, Context>) {
    for (key, mut context) in std::mem::take(contexts) {
        let clean = match &mut context {
            Context::Trace(trace) => {
                let TraceContext {
                    op,
                    description,
                    origin,
                    data,
                    span_id: _,
                    trace_id: _,
                    parent_span_id: _,
                    status: _,
                } = &mut **trace;
                [op, description, origin].into_iter().for_each(|text| maybe(redactor, text));
                fields(redactor, data);
                Some(context)
            }
            Context::Other(known) => {
                facts(redactor, known);
                Some(context)
            }
            other => match serde_json::to_value(other) {
                Ok(Value::Object(mut read)) => {
                    redactor.unknown_fields(&mut read);
                    serde_json::from_value(Value::Object(read)).ok()
                }
                _ => None,
            },
        };
        contexts.extend(clean.map(|clean| (key, clean)));
    }
}

fn tags(redactor: &Redactor, tags: &mut BTreeMap<String, String>) {
    *tags = std::mem::take(tags)
        .into_iter()
        .map(|(key, tag)| {
            let clean = redactor.findable(Some(&key), &tag).into_owned();
            (redactor.findable_key(&key).into_owned(), clean)
        })
        .collect();
}

fn attributes<K: Ord>(
    redactor: &Redactor,
    attributes: &mut BTreeMap<K, LogAttribute>,
    name: impl Fn(&K) -> &str,
) {
    for (key, LogAttribute(given)) in attributes {
        let mut named = Map::from_iter([(name(key).to_owned(), given.take())]);
        redactor.unknown_fields(&mut named);
        *given = named.into_iter().map(|(_, value)| value).next().unwrap_or_default();
    }
}

/// What an application attached: an allow-list applies to it.
fn fields(redactor: &Redactor, fields: &mut BTreeMap<String, Value>) {
    let mut read: Map<String, Value> = std::mem::take(fields).into_iter().collect();
    redactor.payload(&mut read);
    *fields = read.into_iter().collect();
}

/// What is known of the process and the run.
fn facts(redactor: &Redactor, facts: &mut BTreeMap<String, Value>) {
    let mut read: Map<String, Value> = std::mem::take(facts).into_iter().collect();
    redactor.unknown_fields(&mut read);
    *facts = read.into_iter().collect();
}

fn value(redactor: &Redactor, value: &mut Value) {
    let mut named = Map::from_iter([("value".to_owned(), value.take())]);
    redactor.payload(&mut named);
    *value = named.into_iter().map(|(_, value)| value).next().unwrap_or_default();
}

fn into_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn labels<const N: usize>(redactor: &Redactor, labels: [&mut Option<Cow<'static, str>>; N]) {
    labels.into_iter().flatten().for_each(|label| name(redactor, label));
}

fn name(redactor: &Redactor, name: &mut Cow<'static, str>) {
    if let Cow::Owned(clean) = redactor.name(name) {
        *name = Cow::Owned(clean);
    }
}

fn findable(redactor: &Redactor, key: &str, value: &mut Option<String>) {
    if let Some(text) = value
        && let Cow::Owned(clean) = redactor.findable(Some(key), text)
    {
        *text = clean;
    }
}

fn maybe(redactor: &Redactor, value: &mut Option<String>) {
    if let Some(value) = value {
        text(redactor, value);
    }
}

fn text(redactor: &Redactor, text: &mut String) {
    if let Cow::Owned(clean) = redactor.message(text) {
        *text = clean;
    }
}
