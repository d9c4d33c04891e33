//! This program, as a file that can be started once more; and what may end all its processes.
//!
//! `/proc/self/exe` is the program that runs now, even if its file was moved, replaced or deleted meanwhile. But where
//! somebody else loaded it (`/lib64/ld-linux-x86-64.so.2 ./tool`, a bundle with its own loader, valgrind) it is that one.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::path::Path;

/// How this program is started once more.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: CString,
    /// The first arguments, if `path` is a loader: its own, and the program as the last one.
    pub(crate) loaded: Option<Vec<CString>>,
}

/// This program. `is_loaded_with` says that something unusual is loaded with it, as by valgrind.
///
/// Usually two reads of a table in memory; only where they say that somebody else loaded it files of `/proc` are read.
#[cfg(target_os = "linux")]
pub(crate) fn own_program(is_loaded_with: bool) -> io::Result<Program> {
    // Where the kernel put the program's loader: nowhere if the loader itself is what it started.
    // SAFETY: getauxval reads a value that the kernel gave at the start of the process; no pointers.
    let has_loader = cfg!(target_feature = "crt-static") || unsafe { libc::getauxval(libc::AT_BASE) } != 0;
    let usual = || Program { path: c"/proc/self/exe".to_owned(), loaded: None };
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
        // DeletedRuns meanwhile.
        _ => has_loader,
    };
    if is_kernels {
        return Ok(usual());
    }
    if has_loader {
        return Ok(Program { path, loaded: None });
    }
    // The loader's own arguments: where it finds the libraries.
    let line = std::fs::read("/proc/self/cmdline")?;
    let mut loaded: Vec<CString> =
        line.split(|byte| *byte == 0).map(CString::new).collect::<Result<_, _>>()?;
    loaded.truncate((loaded.len() - 1).saturating_sub(std::env::args_os().len()));
    if loaded.is_empty() {
        return Ok(Program { path, loaded: None });
    }
    loaded.push(path);
    Ok(Program { path: usual().path, loaded: Some(loaded) })
}

/// The file that is mapped where an address lies. Lines of `/proc/self/maps`: `from-to rights offset device inode path`.
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
pub(crate) fn own_program(_is_loaded_with: bool) -> io::Result<Program> {
    use std::os::unix::ffi::OsStrExt as _;

    Ok(Program { path: CString::new(std::env::current_exe()?.as_os_str().as_bytes())?, loaded: None })
}

/// This program where there is no `/proc`: by the path that it was started by, if that is a whole one. Another program
/// may lie where a relative path leads now.
#[cfg(target_os = "linux")]
pub(crate) fn own_program_without_proc() -> io::Result<Program> {
    // SAFETY: AT_EXECFN is the address of a text that ends with null, which the kernel put above the stack; it is there
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
                "/proc is not mounted, by which the program finds itself"
            },
        ));
    }
    Ok(Program { path: path.to_owned(), loaded: None })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn own_program_without_proc() -> io::Result<Program> {
    Err(io::ErrorKind::NotFound.into())
}

/// Whether these surroundings may end with the command and take every other process along: a PID namespace (containers,
/// build sandboxes), or a service of systemd.
pub(crate) fn may_end_with_others() -> bool {
    cfg!(target_os = "linux")
        && (is_in_own_processes()
            || std::fs::read_to_string("/proc/self/cgroup").is_ok_and(|groups| is_in_service(&groups)))
}

/// Whether this process sees others than the machine's: it is in a PID namespace.
fn is_in_own_processes() -> bool {
    /// The machine's own namespace has this inode in every Linux (`PROC_PID_INIT_INO`).
    const MACHINES_OWN: &str = "pid:[4026531836]";
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace != Path::new(MACHINES_OWN))
}

/// Whether a line of `/proc/self/cgroup`, such as `0::/system.slice/backup.service`, tells of a service; sessions are
/// scopes.
fn is_in_service(groups: &str) -> bool {
    groups.lines().any(|line| line.ends_with(".service"))
}

/// Goes on with a copy of the program in memory, so that its file can be written and its file system unmounted while
/// this process lives. Returns where that cannot be, and nothing is changed then.
///
/// Only on the machine itself: in containers nobody waits for the file, and running what lies in memory only is what
/// their guards look for.
#[cfg(target_os = "linux")]
pub(crate) fn go_on_from_memory(marker: &str) {
    use std::os::fd::{AsRawFd as _, FromRawFd as _};
    use std::os::unix::ffi::OsStrExt as _;

    let copied = || -> io::Result<std::fs::File> {
        use std::io::Read as _;

        let program = std::fs::File::open("/proc/self/exe")?;
        let length = loaded_length(&program).unwrap_or(u64::MAX);
        let name = c"uploader";
        // SAFETY: the name ends with null; the call gives a descriptor or -1. Kernels before 6.3 do not know MFD_EXEC.
        let descriptor = unsafe {
            match libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | MFD_EXEC) {
                -1 => libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC),
                descriptor => descriptor,
            }
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        let mut copy = unsafe { std::fs::File::from_raw_fd(descriptor) };
        io::copy(&mut program.take(length), &mut copy)?;
        Ok(copy)
    };
    let is_usual = own_program(false)
        .is_ok_and(|program| program.loaded.is_none() && program.path.as_c_str() == c"/proc/self/exe");
    if !is_usual || is_in_own_processes() {
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
    // SAFETY: both arrays end with null, and lead to texts that live until the call returns, if it does.
    unsafe {
        libc::fexecve(copy.as_raw_fd(), pointers(&arguments).as_ptr(), pointers(&environment).as_ptr());
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn go_on_from_memory(_marker: &str) {}

/// `linux/memfd.h`; the libc crate has it for some targets only.
#[cfg(target_os = "linux")]
const MFD_EXEC: libc::c_uint = 0x10;

/// How much of a program's file is loaded: what follows is for debuggers. Nothing if it is no ELF file of this
/// machine's kind.
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

/// Whether somebody waits for the end of this process, which `starter` started: a tracer, or a process that adopts
/// orphans and is no init. `systemd --user` adopts the orphans of a session, and waits for none.
pub(crate) fn is_waited_for(starter: Option<u32>) -> bool {
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
    fn the_usual_way_is_the_kernels_link_and_the_mapping_is_the_same_file() {
        assert_eq!(own_program(false).unwrap().path.as_c_str(), c"/proc/self/exe");
        assert_eq!(own_program(true).unwrap().path.as_c_str(), c"/proc/self/exe");
        let maps = std::fs::read("/proc/self/maps").unwrap();
        // SAFETY: getauxval takes a number.
        let mapped = mapped_at(&maps, unsafe { libc::getauxval(libc::AT_ENTRY) }).unwrap();
        assert_eq!(mapped.to_str().unwrap(), std::env::current_exe().unwrap().to_str().unwrap());
    }

    #[test]
    fn a_service_is_told_from_a_session() {
        assert!(is_in_service("0::/system.slice/backup.service\n"));
        assert!(is_in_service("1:name=systemd:/system.slice/cron.service\n0::/\n"));
        assert!(!is_in_service("0::/user.slice/user-1000.slice/session-3.scope\n"));
        assert!(!is_in_service("0::/user.slice/user@1000.service/app.slice/vte-spawn-1.scope\n"));
    }
}
