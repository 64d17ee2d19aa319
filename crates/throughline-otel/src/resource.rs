//! What emits: the resource of all that is exported.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::resource::v1::Resource;
use throughline_model::{Instance, InstanceId, Process};

use crate::translate::Attributes;

/// The attributes of this process; those that an operator gave win, but for the name of the service, which is that of the
/// events.
pub(crate) fn of_this_process(instance: &Instance, given: &BTreeMap<String, String>) -> Resource {
    let mut attributes = detected(instance, &|name| std::env::var(name).ok());
    attributes.extend(given.clone());
    attributes.insert("service.name".to_owned(), instance.service.to_string());
    resource(&attributes)
}

/// The attributes of another process: what the store knows of it, and what an operator says of all processes of the service.
pub(crate) fn of_another(
    service: &str,
    instance: InstanceId,
    process: Option<&Process>,
    given: &BTreeMap<String, String>,
) -> Resource {
    let is_process = ![InstanceId::IMPORTED, InstanceId::NOBODY].contains(&instance);
    let facts = [
        ("service.name", Some(service.to_owned())),
        ("service.instance.id", is_process.then(|| instance.to_string())),
        ("service.version", process.and_then(|process| process.version.as_ref()).map(ToString::to_string)),
        ("host.name", process.and_then(|process| process.host.as_ref()).map(ToString::to_string)),
        ("process.pid", process.and_then(|process| process.pid).map(|pid| pid.to_string())),
    ];
    let of_one_process = |key: &str| OF_ONE_PROCESS.iter().any(|prefix| key.starts_with(prefix));
    let mut attributes: BTreeMap<_, _> = given
        .iter()
        .filter(|(key, _)| !of_one_process(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    attributes.extend(facts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    resource(&attributes)
}

/// What attributes begin with that are those of a process, or of where it runs.
const OF_ONE_PROCESS: [&str; 9] = [
    "host.",
    "os.",
    "process.",
    "container.",
    "k8s.pod.",
    "k8s.node.",
    "k8s.container.",
    "service.instance.",
    "service.version",
];

fn resource(attributes: &BTreeMap<String, String>) -> Resource {
    let mut pairs = Attributes::new(usize::MAX);
    for (key, value) in attributes {
        match value.parse().ok().filter(|_| key == "process.pid") {
            Some(pid) => pairs.number(key, pid),
            None => pairs.text(key, value),
        }
    }
    Resource { attributes: pairs.into(), ..Resource::default() }
}

/// By the [conventions](https://opentelemetry.io/docs/specs/semconv/resource/).
fn detected(instance: &Instance, env: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let executable = std::env::current_exe().ok();
    let executable = executable.as_deref().and_then(|path| path.file_name());
    let first_of = |names: [&str; 2]| names.into_iter().find_map(env);
    let is_in_kubernetes = env("KUBERNETES_SERVICE_HOST").is_some();
    let pod = first_of(["K8S_POD_NAME", "POD_NAME"]);
    let facts = [
        ("telemetry.sdk.name", Some("throughline".to_owned())),
        ("telemetry.sdk.language", Some("rust".to_owned())),
        ("telemetry.sdk.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("service.version", instance.version.as_ref().map(ToString::to_string)),
        ("service.instance.id", Some(instance.id.to_string())),
        ("host.name", instance.host.as_ref().map(ToString::to_string)),
        ("host.arch", Some(arch(std::env::consts::ARCH).to_owned())),
        ("os.type", os_type(std::env::consts::OS).map(str::to_owned)),
        ("process.pid", instance.pid.map(|pid| pid.to_string())),
        ("process.executable.name", executable.map(|name| name.to_string_lossy().into_owned())),
        ("container.id", container_id()),
        // In a pod the name of the host is that of the pod, unless the pod says otherwise.
        ("k8s.pod.name", pod.or_else(|| env("HOSTNAME").filter(|_| is_in_kubernetes))),
        ("k8s.pod.uid", first_of(["K8S_POD_UID", "POD_UID"])),
        ("k8s.namespace.name", first_of(["K8S_NAMESPACE_NAME", "POD_NAMESPACE"])),
        ("k8s.node.name", first_of(["K8S_NODE_NAME", "NODE_NAME"])),
    ];
    let known = facts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

/// By the [names](https://opentelemetry.io/docs/specs/semconv/registry/attributes/os/) that the conventions have; `None` where
/// they have none.
fn os_type(os: &'static str) -> Option<&'static str> {
    match os {
        "linux" | "android" => Some("linux"),
        "macos" | "ios" | "tvos" | "watchos" | "visionos" => Some("darwin"),
        "windows" | "freebsd" | "netbsd" | "openbsd" | "solaris" | "aix" | "hpux" => Some(os),
        "dragonfly" => Some("dragonflybsd"),
        "illumos" => Some("solaris"),
        _ => None,
    }
}

/// By the [names](https://opentelemetry.io/docs/specs/semconv/registry/attributes/host/) that the conventions have; where they
/// have none, any may be used.
fn arch(arch: &'static str) -> &'static str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" | "arm64ec" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// 64 hex digits in a line of the process's control groups, or of its mounts where the groups have names of their own.
fn container_id() -> Option<String> {
    ["/proc/self/cgroup", "/proc/self/mountinfo"]
        .into_iter()
        .find_map(|path| container_id_in(&std::fs::read_to_string(path).ok()?))
}

fn container_id_in(text: &str) -> Option<String> {
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let of_containers = text.lines().filter(|line| {
        ["docker", "containers", "kubepods", "containerd", "crio", "libpod"]
            .iter()
            .any(|word| line.contains(word))
    });
    of_containers
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()))
        .find(is_id)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use throughline_model::InstanceId;

    use super::*;

    fn instance() -> Instance {
        Instance::new(InstanceId::from_u64(7), "loans").version("1.4.1").runs_on("node-3", 42)
    }

    #[test]
    fn a_process_says_who_it_is_and_where_it_runs() {
        let env = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("10.0.0.1".to_owned()),
            "HOSTNAME" => Some("loans-7d9f-x2".to_owned()),
            "POD_NAMESPACE" => Some("credit".to_owned()),
            _ => None,
        };
        let found = detected(&instance(), &env);
        for (key, value) in [
            ("service.version", "1.4.1"),
            ("service.instance.id", "0000000000000007"),
            ("host.name", "node-3"),
            ("process.pid", "42"),
            ("k8s.pod.name", "loans-7d9f-x2"),
            ("k8s.namespace.name", "credit"),
        ] {
            assert_eq!(found.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(!found.contains_key("k8s.node.name"));
    }

    #[test]
    fn systems_and_architectures_are_named_as_the_conventions_name_them() {
        let known = [
            "aix",
            "darwin",
            "dragonflybsd",
            "freebsd",
            "hpux",
            "linux",
            "netbsd",
            "openbsd",
            "solaris",
            "windows",
        ];
        for (os, name) in [
            ("macos", Some("darwin")),
            ("dragonfly", Some("dragonflybsd")),
            ("windows", Some("windows")),
            ("linux", Some("linux")),
            ("wasi", None),
        ] {
            assert_eq!(os_type(os), name, "{os}");
            assert!(name.is_none_or(|name| known.contains(&name)));
        }
        for (architecture, name) in [
            ("x86_64", "amd64"),
            ("aarch64", "arm64"),
            ("arm", "arm32"),
            ("powerpc", "ppc32"),
            ("powerpc64", "ppc64"),
            ("s390x", "s390x"),
            ("x86", "x86"),
        ] {
            assert_eq!(arch(architecture), name, "{architecture}");
        }
    }

    #[test]
    fn outside_of_kubernetes_a_host_is_no_pod() {
        let env = |name: &str| (name == "HOSTNAME").then(|| "laptop".to_owned());
        assert!(!detected(&instance(), &env).contains_key("k8s.pod.name"));
    }

    #[test]
    fn a_container_is_known_by_its_groups_or_its_mounts() {
        let id = "3f2504e04f8911d39a0c0305e82c33013f2504e04f8911d39a0c0305e82c3301";
        for text in [
            format!("12:pids:/docker/{id}\n"),
            format!("0::/kubepods.slice/cri-containerd-{id}.scope\n"),
            format!("620 618 254:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw\n"),
        ] {
            assert_eq!(container_id_in(&text).as_deref(), Some(id), "{text}");
        }
        assert_eq!(container_id_in("0::/user.slice\n"), None);
        assert_eq!(container_id_in(&format!("0::/sha256-{id}\n")), None);
    }

    #[test]
    fn what_the_operator_says_wins_but_for_the_name_of_the_service() {
        let given = [("host.name", "a"), ("service.name", "b"), ("deployment.environment.name", "prod")];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let resource = of_this_process(&instance(), &given);
        let text = format!("{resource:?}");
        assert!(text.contains("\"prod\"") && text.contains("\"a\"") && text.contains("\"loans\""), "{text}");
        assert!(!text.contains("\"b\"") && !text.contains("node-3"), "{text}");
    }
}
