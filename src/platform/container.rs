//! Whether this process runs in a container.

use std::path::Path;

/// What shows that a process runs in a container.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContainerSigns {
    /// A file that a container's runtime creates is there.
    pub(crate) has_marker: bool,
    /// A variable of a container is set.
    pub(crate) has_variable: bool,
    /// The content of `/proc/self/cgroup`.
    pub(crate) control_groups: String,
}

/// Docker's and Podman's markers.
const MARKERS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];
/// How names of the control groups of containers begin, perhaps after `cri-`.
const RUNTIMES: [&str; 6] = ["docker", "kubepods", "lxc", "containerd", "libpod", "crio"];

impl ContainerSigns {
    /// The signs of this process.
    pub(crate) fn read(has_variable: bool) -> Self {
        Self {
            has_marker: MARKERS.iter().any(|marker| Path::new(marker).exists()),
            has_variable,
            control_groups: std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
        }
    }
}

/// Whether these are the signs of a container. An image may contain an installation's state, and then all its containers
/// would count as that installation.
pub(crate) fn is_container(signs: &ContainerSigns) -> bool {
    // A line is `0::/user.slice/…` or `12:cpu,memory:/docker/…`.
    let paths = signs.control_groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    signs.has_marker || signs.has_variable || paths.flat_map(|path| path.split('/')).any(is_of_runtime)
}

/// `docker`, `docker-<id>.scope`, `kubepods.slice`, `lxc.payload.web`, or `cri-containerd-<id>.scope`. A longer word, as in
/// `dockerfile`, is another name.
fn is_of_runtime(group: &str) -> bool {
    let group = group.strip_prefix("cri-").unwrap_or(group);
    RUNTIMES.iter().any(|runtime| {
        group
            .strip_prefix(runtime)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '_', ':']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_group(path: &str) -> bool {
        is_container(&ContainerSigns { control_groups: format!("0::{path}\n"), ..ContainerSigns::default() })
    }

    #[test]
    fn each_sign_alone_shows_a_container() {
        assert!(!is_container(&ContainerSigns::default()));
        assert!(is_container(&ContainerSigns { has_marker: true, ..ContainerSigns::default() }));
        assert!(is_container(&ContainerSigns { has_variable: true, ..ContainerSigns::default() }));
        for path in [
            "/docker/3f2a",
            "/system.slice/docker-3f2a.scope",
            "/kubepods/besteffort/pod12/3f2a",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12.slice/cri-containerd-3f2a.scope",
            "/lxc/web",
            "/lxc.payload.web/user.slice",
            "/system.slice/containerd.service",
            "/machine.slice/libpod-3f2a.scope/container",
            "/kubepods.slice/crio-3f2a.scope",
        ] {
            assert!(in_group(path), "{path}");
        }
        let old = "12:memory:/user.slice\n3:cpu,cpuacct:/docker/3f2a\n";
        assert!(is_container(&ContainerSigns {
            control_groups: old.to_owned(),
            ..ContainerSigns::default()
        }));
    }

    #[test]
    fn a_users_own_session_is_no_container() {
        for path in [
            "/",
            "/init.scope",
            "/user.slice/user-1000.slice/session-2.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-docker\\x2ddesktop-7.scope",
            "/user.slice/dockerfile-lint.scope",
            "/system.slice/my-lxc.service",
        ] {
            assert!(!in_group(path), "{path}");
        }
    }
}
