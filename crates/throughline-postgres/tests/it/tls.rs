//! Encrypted connections, to a server that speaks TLS and to one that does not.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use throughline_model::testing::run;
use throughline_model::{Instance, InstanceId, OpenError, StoreConfig};
use throughline_postgres::PostgresStore;

use crate::server::{Database, Server, is_left_out};
use crate::shared;

/// A server that takes encrypted connections alone, at `localhost`.
struct Encrypted {
    server: Server,
    port: u16,
    folder: tempfile::TempDir,
}

impl Encrypted {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let signed = |name: &str, usage, to: &Path| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
            params.extended_key_usages = vec![usage];
            let certificate = params.signed_by(&key, &authority).unwrap();
            let (certificate_file, key_file) =
                (to.join(format!("{name}.crt")), to.join(format!("{name}.key")));
            std::fs::write(&certificate_file, certificate.pem()).unwrap();
            std::fs::write(&key_file, key.serialize_pem()).unwrap();
            std::fs::set_permissions(&key_file, PermissionsExt::from_mode(0o600)).unwrap();
            (certificate_file, key_file)
        };
        signed("loans", ExtendedKeyUsagePurpose::ClientAuth, folder.path());
        // Free now; if another process takes it in the meantime, the start fails and not a test.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Server::start_with(|place| {
            let (certificate, key) = signed("localhost", ExtendedKeyUsagePurpose::ServerAuth, place);
            let (hba, roots) = (place.join("hba.conf"), place.join("roots.pem"));
            std::fs::copy(folder.path().join("ca.pem"), &roots).unwrap();
            // Over the network only with TLS, and as `loans` only with a certificate.
            let rules = "local all all trust\nhostssl all loans all cert\nhostssl all all all trust\n";
            std::fs::write(&hba, rules).unwrap();
            let files = [&certificate, &key, &hba, &roots];
            files.into_iter().for_each(|file| as_the_servers(place, file));
            let set = |name: &str, value: String| ["-c".to_owned(), format!("{name}={value}")];
            let file = |file: &PathBuf| file.display().to_string();
            [
                set("listen_addresses", "127.0.0.1".to_owned()),
                set("port", port.to_string()),
                set("ssl", "on".to_owned()),
                set("ssl_cert_file", file(&certificate)),
                set("ssl_key_file", file(&key)),
                set("ssl_ca_file", file(&roots)),
                set("hba_file", file(&hba)),
            ]
            .concat()
        });
        Self { server, port, folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn url(&self, host: &str, rest: &str) -> String {
        format!("postgres://postgres@{host}:{}/postgres?{rest}", self.port)
    }
}

/// Gives a file to the owner of the server's folder.
fn as_the_servers(folder: &Path, file: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(folder).unwrap();
    chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
}

async fn refusal(url: &str) -> OpenError {
    let store = PostgresStore::new(url);
    store.open(Instance::new(InstanceId::random(), "test")).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_server_that_proves_who_it_is_is_spoken_to_in_secret() {
    if is_left_out() {
        return;
    }
    let server = Encrypted::start();
    let roots = server.file("ca.pem");
    for mode in ["require", "verify-full"] {
        let url = server.url("localhost", &format!("sslmode={mode}&sslrootcert={roots}"));
        let store = PostgresStore::new(&url).open(Instance::new(InstanceId::random(), "test")).await.unwrap();
        let mut loan = run("loan").key(mode);
        loan.complete_run();
        store.append(&shared(&loan.events())).await.unwrap();
        assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE application_name = 'throughline'";
        assert_eq!(server.server.psql("postgres", encrypted).unwrap(), "t");
        store.close().await.unwrap();
    }
    let mine = format!(
        "sslmode=require&sslrootcert={roots}&sslcert={}&sslkey={}",
        server.file("loans.crt"),
        server.file("loans.key")
    );
    server.server.psql("postgres", "CREATE ROLE loans LOGIN SUPERUSER").unwrap();
    let url = server.url("localhost", &mine).replace("postgres@", "loans@");
    PostgresStore::new(&url).open_reader().await.unwrap();
    let without = url.split("&sslcert").next().unwrap();
    let error = refusal(without).await.to_string();
    assert!(error.contains("does not let this role in"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_prove_who_it_is_is_refused() {
    if is_left_out() {
        return;
    }
    let server = Encrypted::start();
    let roots = format!("sslmode=require&sslrootcert={}", server.file("ca.pem"));
    for (url, complaint) in [
        // Somebody else's authority, and another name.
        (server.url("localhost", "sslmode=require"), "name the authority"),
        (server.url("127.0.0.1", &roots), "check the name of the host"),
        (
            server.url("localhost", "sslmode=require&sslrootcert=/nowhere/ca.pem"),
            "/nowhere/ca.pem can't be read",
        ),
        (server.url("localhost", "sslmode=full"), "sslmode is none of"),
    ] {
        let error = refusal(&url).await;
        assert!(!error.is_retryable() && error.to_string().contains(complaint), "{url}: {error}");
    }
    let error = refusal(&server.url("localhost", "sslmode=disable")).await.to_string();
    assert!(error.contains("pg_hba.conf"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_asked_for() {
    let Some(database) = Database::new() else { return };
    let error = refusal(&format!("{} sslmode=require", database.url())).await;
    assert!(!error.is_retryable() && error.to_string().contains("does not speak"), "{error}");
}
