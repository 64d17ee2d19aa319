//! From a description to a container: the client, and the container itself where it is not there yet.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::Url;
use azure_data_cosmos::models::{
    CompositeIndex, CompositeIndexOrder, CompositeIndexProperty, ContainerProperties, IndexingMode,
    IndexingPolicy, PropertyPath, TimeToLive,
};
use azure_data_cosmos::options::{BinaryEncodingOptions, ConnectionPoolOptions, Region, UserAgentSuffix};
use azure_data_cosmos::{
    AccountReference, ContainerClient, CosmosClient, CosmosError, CosmosRuntime, RoutingStrategy,
};
use tokio::runtime::Handle;

use crate::container::Container;
use crate::document::PARTITION_KEY;
use crate::error::{Fault, INVALID_ENDPOINT};

/// How long documents stay that say nothing else, in a container that this store makes: 90 days.
const DEFAULT_TTL: u32 = 90 * 24 * 60 * 60;

/// How to be let in.
#[derive(Clone)]
pub(crate) enum Access {
    Key(String, Secret),
    Token(String, Arc<dyn TokenCredential>),
    Client(CosmosClient),
}

impl Access {
    /// The account, for people; `None` if the endpoint is invalid, and may be anything, such as a connection string.
    pub(crate) fn account(&self) -> Option<String> {
        let of = |url: &Url| url.host_str().map(str::to_owned);
        match self {
            Self::Key(endpoint, _) | Self::Token(endpoint, _) => of(&parse(endpoint).ok()?),
            Self::Client(client) => of(client.endpoint()),
        }
    }

    /// A client, which keeps its connections on the runtime that it is made on.
    async fn client(&self, region: Option<&str>) -> Result<CosmosClient, Fault> {
        let (endpoint, account) = match self {
            Self::Client(client) => return Ok(client.clone()),
            Self::Key(endpoint, key) => {
                let endpoint = parse(endpoint)?;
                (endpoint.clone(), AccountReference::with_authentication_key(endpoint.into(), key.clone()))
            }
            Self::Token(endpoint, credential) => {
                let endpoint = parse(endpoint)?;
                (endpoint.clone(), AccountReference::with_credential(endpoint.into(), Arc::clone(credential)))
            }
        };
        // Emulators speak HTTP, and neither its second version nor binary JSON.
        let is_emulator = endpoint.scheme() == "http";
        let pool = ConnectionPoolOptions::builder().with_is_http2_allowed(!is_emulator).build()?;
        // The SDK's own runtime would keep its tasks where it was first used, which may be gone.
        let runtime = CosmosRuntime::builder().with_connection_pool(pool).build().await?;
        let mut builder = CosmosClient::builder().with_runtime(runtime);
        if is_emulator {
            builder =
                builder.with_binary_encoding_options(BinaryEncodingOptions::default().with_enabled(false));
        }
        if let Some(suffix) = UserAgentSuffix::try_new("throughline") {
            builder = builder.with_user_agent_suffix(suffix);
        }
        let routing = match region {
            Some(region) => RoutingStrategy::ProximityTo(Region::from(region.to_owned())),
            None => RoutingStrategy::PreferredRegions(Vec::new()),
        };
        Ok(builder.build(account, routing).await?)
    }
}

fn parse(endpoint: &str) -> Result<Url, Fault> {
    let url =
        Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    // Not repeated: it may be a connection string, which has the key in it.
    url.filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| Fault::Unusable(INVALID_ENDPOINT.to_owned()))
}

/// The endpoint, the database and the container of a location.
pub(crate) fn parse_location(location: &str) -> Option<(String, String, Option<String>)> {
    let mut url = Url::parse(location.strip_prefix("cosmos:")?).ok()?;
    let mut names = url.path_segments()?.filter(|name| !name.is_empty()).map(str::to_owned);
    let (database, container) = (names.next()?, names.next());
    if names.next().is_some() {
        return None;
    }
    url.set_path("");
    Some((url.to_string(), database, container))
}

/// Where a store is.
pub(crate) struct Address<'a> {
    pub(crate) access: &'a Access,
    pub(crate) region: Option<&'a str>,
    pub(crate) database: &'a str,
    pub(crate) container: &'a str,
}

impl Address<'_> {
    /// The container, as it is found. Must be called on a tokio runtime.
    pub(crate) async fn find(&self) -> Result<Container, Fault> {
        let runtime = runtime()?;
        let client = self.access.client(self.region).await?;
        match self.client_of(&client).await {
            Ok(found) => self.check(found, None, runtime).await,
            Err(error) if is_missing(&error) => Err(Fault::NothingYet),
            Err(error) => Err(error.into()),
        }
    }

    /// The container, which is made if it is not there. Must be called on a tokio runtime.
    pub(crate) async fn find_or_make(&self, ttl: Option<u32>) -> Result<Container, Fault> {
        let runtime = runtime()?;
        let client = self.access.client(self.region).await?;
        let found = match self.client_of(&client).await {
            Err(error) if is_missing(&error) => {
                self.make(&client).await?;
                self.client_of(&client).await?
            }
            found => found?,
        };
        self.check(found, ttl, runtime).await
    }

    async fn client_of(&self, client: &CosmosClient) -> Result<ContainerClient, CosmosError> {
        client
            .database_client(self.database.to_owned())
            .container_client(self.container.to_owned(), None)
            .await
    }

    async fn make(&self, client: &CosmosClient) -> Result<(), Fault> {
        // Another process that opens the store at the same time is as good.
        let or_exists = |error: CosmosError| if error.status().is_conflict() { Ok(()) } else { Err(error) };
        client.create_database(self.database, None).await.map(drop).or_else(or_exists)?;
        let database = client.database_client(self.database.to_owned());
        database.create_container(properties(self.container), None).await.map(drop).or_else(or_exists)?;
        Ok(())
    }

    /// That it is a container that this store can use.
    async fn check(
        &self,
        found: ContainerClient,
        ttl: Option<u32>,
        runtime: Handle,
    ) -> Result<Container, Fault> {
        let properties = found.read(None).await?.into_model()?;
        let paths = properties.partition_key.paths();
        if paths.len() != 1 || paths[0] != PARTITION_KEY {
            return Err(Fault::Unusable(format!(
                "the container `{}` has the partition key {}, and not {PARTITION_KEY}; name a container that does not exist yet",
                self.container,
                paths.join(", ")
            )));
        }
        let policy = properties.indexing_policy.as_ref();
        let missing = SORTED.into_iter().find(|field| policy.is_some_and(|policy| !indexes(policy, field)));
        if let Some(field) = missing {
            return Err(Fault::Unusable(format!(
                "the container `{}` does not index /{field}/?, by which answers are sorted; add it to the included paths of its \
                 indexing policy, as the others that docs/guide/choosing-a-store.md names",
                self.container
            )));
        }
        if ttl.is_some() && properties.default_ttl == TimeToLive::Forever {
            return Err(Fault::Unusable(format!(
                "the container `{}` removes nothing, as its time to live is off; turn it on, without a default if need be",
                self.container
            )));
        }
        Ok(Container::new(found, runtime))
    }
}

fn runtime() -> Result<Handle, Fault> {
    Handle::try_current().map_err(|_| Fault::Unusable("it has to be opened on a tokio runtime".to_owned()))
}

fn is_missing(error: &CosmosError) -> bool {
    error.status().status_code() == azure_core::http::StatusCode::NotFound
}

/// So many seconds, as documents say how long they stay.
pub(crate) fn seconds(age: Duration) -> u32 {
    // The largest number that the service takes; less than a second would be no time at all.
    u32::try_from(age.as_secs()).unwrap_or(u32::MAX).clamp(1, i32::MAX.cast_unsigned())
}

/// The fields by which answers are sorted, which the service refuses for what it has not indexed.
const SORTED: [&str; 3] = ["trace_id", "at", "place"];

/// Whether a policy indexes a field: of the paths that lead to it, the most precise counts.
fn indexes(policy: &IndexingPolicy, field: &str) -> bool {
    if policy.indexing_mode == Some(IndexingMode::None) {
        return false;
    }
    let names =
        |paths: &[PropertyPath], path: &str| paths.iter().any(|named| named.path.replace('"', "") == path);
    for path in [format!("/{field}/?"), format!("/{field}/*"), "/*".to_owned()] {
        if names(&policy.included_paths, &path) {
            return true;
        }
        if names(&policy.excluded_paths, &path) {
            return false;
        }
    }
    false
}

/// What a new container is like: of all fields, those are indexed that queries name.
fn properties(container: &str) -> ContainerProperties {
    const INDEXED: [&str; 15] = [
        "trace_id",
        "kind",
        "at",
        "span",
        "type",
        "status",
        "service",
        "workflow",
        "correlation_id",
        "tags/[]",
        "detached",
        "job",
        "place",
        "open",
        "failed",
    ];
    /// What is equal comes first, and what is sorted by last.
    const TOGETHER: [[&str; 2]; 7] = [
        ["status", "at"],
        ["type", "at"],
        ["service", "at"],
        ["workflow", "at"],
        ["open", "place"],
        ["failed", "place"],
        ["workflow", "place"],
    ];
    let mut indexing =
        IndexingPolicy::default().with_indexing_mode(IndexingMode::Consistent).with_excluded_path("/*");
    indexing.automatic = true;
    for field in INDEXED {
        indexing = indexing.with_included_path(format!("/{field}/?"));
    }
    for [equal, sorted] in TOGETHER {
        let index = CompositeIndex::default()
            .with_property(CompositeIndexProperty::new(format!("/{equal}"), CompositeIndexOrder::Ascending))
            .with_property(CompositeIndexProperty::new(
                format!("/{sorted}"),
                CompositeIndexOrder::Descending,
            ));
        indexing = indexing.with_composite_index(index);
    }
    ContainerProperties::new(container.to_owned(), PARTITION_KEY.into())
        .with_indexing_policy(indexing)
        .with_default_ttl(DEFAULT_TTL)
}
