//! How to start this program again, and what may kill its detached processes.
//!
//! `/proc/self/exe` leads to the running program, even if its file was moved, replaced, or deleted in the meantime. If
//! another program loaded it (`/lib64/ld-linux-x86-64.so.2 ./tool`, a bundle with its own loader, valgrind), the link leads
//! to that loader.

use std::ffi::CString;
use std::io;
use std::path::Path;

/// How to start this program again.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: CString,
    /// If `path` is a loader, its own arguments, followed by the program.
    pub(crate) loader_arguments: Option<Vec<CString>>,
}

/// This program. `is_loaded_with` means that something unusual is loaded with it, for example by valgrind.
///
/// Usually this reads two numbers from memory. It reads files of `/proc` only if another program may have loaded it.
#[cfg(target_os = "linux")]
pub(crate) fn current_program(is_loaded_with: bool) -> io::Result<Program> {
    // The address of the program's loader, or 0 if the kernel started the loader itself.
    // SAFETY: getauxval takes a number and reads a value that the kernel set when the process started.
    let has_loader = cfg!(target_feature = "crt-static") || unsafe { libc::getauxval(libc::AT_BASE) } != 0;
    let usual = || Program { path: c"/proc/self/exe".to_owned(), loader_arguments: None };
    if has_loader && !is_loaded_with {
        return Ok(usual());
    }
    // SAFETY: as above.
    let entry = unsafe { libc::getauxval(libc::AT_ENTRY) };
    let Some(path) = std::fs::read("/proc/self/maps").ok().and_then(|maps| mapped_at(&maps, entry)) else {
        return Ok(usual());
    };
    let is_kernels = match (identity(&path), identity(c"/proc/self/exe")) {
        (Some(mapped), Some(kernels)) => mapped == kernels,
        // The file was deleted.
        _ => has_loader,
    };
    if is_kernels {
        return Ok(usual());
    }
    if has_loader {
        return Ok(Program { path, loader_arguments: None });
    }
    // The loader's own arguments tell it where the libraries are.
    let line = std::fs::read("/proc/self/cmdline")?;
    let mut arguments: Vec<CString> =
        line.split(|byte| *byte == 0).map(CString::new).collect::<Result<_, _>>()?;
    arguments.truncate((arguments.len() - 1).saturating_sub(std::env::args_os().len()));
    if arguments.is_empty() {
        return Ok(Program { path, loader_arguments: None });
    }
    arguments.push(path);
    Ok(Program { path: usual().path, loader_arguments: Some(arguments) })
}

/// The file that is mapped at an address. A line of `/proc/self/maps` is `from-to rights offset device inode path`.
#[cfg(target_os = "linux")]
fn mapped_at(maps: &[u8], address: u64) -> Option<CString> {
    maps.split(|byte| *byte == b'\n').find_map(|line| {
        let path = line.iter().position(|byte| *byte == b'/').map(|at| &line[at..])?;
        let range = std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?;
        let (from, to) = range.split_once('-')?;
        let range = u64::from_str_radix(from, 16).ok()?..u64::from_str_radix(to, 16).ok()?;
        range.contains(&address).then(|| CString::new(path).ok()).flatten()
    })
}

/// Device and inode.
#[cfg(target_os = "linux")]
fn identity(path: &std::ffi::CStr) -> Option<(u64, u64)> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;

    let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn current_program(_is_loaded_with: bool) -> io::Result<Program> {
    use std::os::unix::ffi::OsStrExt as _;

    Ok(Program {
        path: CString::new(std::env::current_exe()?.as_os_str().as_bytes())?,
        loader_arguments: None,
    })
}

/// This program by the path that started it, for a system without `/proc`. The path must be absolute, because a relative
/// path may lead to another program by now.
#[cfg(target_os = "linux")]
pub(crate) fn current_program_without_proc() -> io::Result<Program> {
    // SAFETY: AT_EXECFN is the address of a text that ends with null. The kernel put it above the stack, where it stays
    // as long as the process.
    let path = unsafe {
        match libc::getauxval(libc::AT_EXECFN) as *const std::ffi::c_char {
            path if path.is_null() => c"",
            path => std::ffi::CStr::from_ptr(path),
        }
    };
    let is_there = Path::new("/proc/self").exists();
    if is_there || !path.to_bytes().starts_with(b"/") {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            if is_there {
                "/proc/self/exe leads nowhere"
            } else {
                "/proc is not mounted, and the program finds itself through it"
            },
        ));
    }
    Ok(Program { path: path.to_owned(), loader_arguments: None })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn current_program_without_proc() -> io::Result<Program> {
    Err(io::ErrorKind::NotFound.into())
}

/// Whether a detached process may be killed when the command ends. This happens in a PID namespace, such as a container
/// or a build sandbox, and in a systemd service.
pub(crate) fn may_be_killed_with_command() -> bool {
    cfg!(target_os = "linux")
        && (is_in_pid_namespace()
            || std::fs::read_to_string("/proc/self/cgroup").is_ok_and(|groups| is_in_service(&groups)))
}

fn is_in_pid_namespace() -> bool {
    /// The initial namespace has this inode on every Linux (`PROC_PID_INIT_INO`).
    const INITIAL: &str = "pid:[4026531836]";
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace != Path::new(INITIAL))
}

/// Whether a line of `/proc/self/cgroup` names a service, such as `0::/system.slice/backup.service`. A session is a scope.
fn is_in_service(groups: &str) -> bool {
    groups.lines().any(|line| line.ends_with(".service"))
}

/// Replaces this process by a copy of its program in memory, so that the program's file can be written and its file
/// system unmounted. Returns without a change if that is impossible.
///
/// It does nothing in a container. There nothing waits for the file, and security monitors report programs that run from
/// memory.
#[cfg(target_os = "linux")]
pub(crate) fn re_exec_from_memory(marker: &str) {
    use std::os::fd::{AsRawFd as _, FromRawFd as _};
    use std::os::unix::ffi::OsStrExt as _;

    let copied = || -> io::Result<std::fs::File> {
        use std::io::Read as _;

        let program = std::fs::File::open("/proc/self/exe")?;
        let length = loaded_length(&program).unwrap_or(u64::MAX);
        let name = c"uploader";
        // SAFETY: the name ends with null, and the call returns a descriptor or -1. Kernels before 6.3 lack MFD_EXEC.
        let descriptor = unsafe {
            match libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | MFD_EXEC) {
                -1 => libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC),
                descriptor => descriptor,
            }
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and nothing else owns it.
        let mut copy = unsafe { std::fs::File::from_raw_fd(descriptor) };
        io::copy(&mut program.take(length), &mut copy)?;
        Ok(copy)
    };
    let is_usual = current_program(false).is_ok_and(|program| {
        program.loader_arguments.is_none() && program.path.as_c_str() == c"/proc/self/exe"
    });
    if !is_usual || is_in_pid_namespace() {
        return;
    }
    let text = |text: &std::ffi::OsStr| CString::new(text.as_bytes()).unwrap_or_default();
    let arguments: Vec<CString> = std::env::args_os().map(|argument| text(&argument)).collect();
    let environment: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| text(&[name, value].join(std::ffi::OsStr::new("="))))
        .chain([text(std::ffi::OsStr::new(&format!("{marker}=1")))])
        .collect();
    let pointers = |texts: &[CString]| -> Vec<*const std::ffi::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let Ok(copy) = copied() else { return };
    // SAFETY: both arrays end with null and lead to texts that outlive the call.
    unsafe {
        libc::fexecve(copy.as_raw_fd(), pointers(&arguments).as_ptr(), pointers(&environment).as_ptr());
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn re_exec_from_memory(_marker: &str) {}

/// From `linux/memfd.h`. The `libc` crate has it only for some targets.
#[cfg(target_os = "linux")]
const MFD_EXEC: libc::c_uint = 0x10;

/// The length of the part of a program's file that is loaded. The rest is for debuggers. `None` if the file is not a
/// 64-bit ELF file.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn loaded_length(program: &std::fs::File) -> Option<u64> {
    use std::os::unix::fs::FileExt as _;

    const HEADER: usize = size_of::<libc::Elf64_Ehdr>();
    const SEGMENT: usize = size_of::<libc::Elf64_Phdr>();
    let mut header = [0; HEADER];
    program.read_exact_at(&mut header, 0).ok()?;
    let at =
        |from: usize, bytes: &[u8]| Some(u64::from_ne_bytes(bytes.get(from..from + 8)?.try_into().ok()?));
    let small =
        |from: usize| Some(u64::from(u16::from_ne_bytes(header.get(from..from + 2)?.try_into().ok()?)));
    if header[..5] != [0x7f, b'E', b'L', b'F', 2] || small(54)? != SEGMENT as u64 {
        return None;
    }
    let (table, count) = (at(32, &header)?, small(56)?);
    let mut end = table.checked_add(count * SEGMENT as u64)?;
    for number in 0..count {
        let mut segment = [0; SEGMENT];
        program.read_exact_at(&mut segment, table + number * SEGMENT as u64).ok()?;
        end = end.max(at(8, &segment)?.checked_add(at(32, &segment)?)?);
    }
    Some(end)
}

#[cfg(all(target_os = "linux", not(target_pointer_width = "64")))]
fn loaded_length(_program: &std::fs::File) -> Option<u64> {
    None
}

/// Whether another process waits for the end of this one, which `starter` started. It may be a tracer, or a process that
/// adopts orphans and is not init. `systemd --user` adopts a session's orphans, but waits for none.
pub(crate) fn has_waiting_parent(starter: Option<u32>) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let number =
        |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u32>().ok());
    if number("TracerPid:").is_some_and(|tracer| tracer != 0) {
        return true;
    }
    match number("PPid:") {
        None | Some(0 | 1) => false,
        parent if parent == starter => false,
        Some(parent) => {
            std::fs::read_to_string(format!("/proc/{parent}/comm")).is_ok_and(|name| name != "systemd\n")
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_usually_the_link_in_proc() {
        assert_eq!(current_program(false).unwrap().path.as_c_str(), c"/proc/self/exe");
        assert_eq!(current_program(true).unwrap().path.as_c_str(), c"/proc/self/exe");
        let maps = std::fs::read("/proc/self/maps").unwrap();
        // SAFETY: getauxval takes a number.
        let mapped = mapped_at(&maps, unsafe { libc::getauxval(libc::AT_ENTRY) }).unwrap();
        assert_eq!(mapped.to_str().unwrap(), std::env::current_exe().unwrap().to_str().unwrap());
    }

    #[test]
    fn a_service_is_not_a_session() {
        assert!(is_in_service("0::/system.slice/backup.service\n"));
        assert!(is_in_service("1:name=systemd:/system.slice/cron.service\n0::/\n"));
        assert!(!is_in_service("0::/user.slice/user-1000.slice/session-3.scope\n"));
        assert!(!is_in_service("0::/user.slice/user@1000.service/app.slice/vte-spawn-1.scope\n"));
    }
}
