//! Fixture: the processes of this machine, as their own memory describes them. Windows has no call for the arguments,
//! directory, and variables of another process.

#![allow(unsafe_code)]

use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};

use windows_sys::Wdk::System::Threading::{NtQueryInformationProcess, ProcessBasicInformation};
use windows_sys::Win32::System::Diagnostics::Debug::ReadProcessMemory;
use windows_sys::Win32::System::ProcessStatus::EnumProcesses;
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_BASIC_INFORMATION, PROCESS_QUERY_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_VM_READ,
    WaitForSingleObject,
};

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) command_line: String,
    pub(crate) directory: String,
    /// Each as `NAME=value`.
    pub(crate) environment: Vec<String>,
}

/// The running processes that this user may read.
pub(crate) fn processes() -> Vec<Process> {
    let mut ids = [0_u32; 4096];
    let mut size = 0;
    // SAFETY: the call fills the array, whose size is given.
    let listed = unsafe { EnumProcesses(ids.as_mut_ptr(), size_of_val(&ids) as u32, &raw mut size) };
    assert_ne!(listed, 0, "{}", std::io::Error::last_os_error());
    ids[..size as usize / size_of::<u32>()].iter().filter_map(|id| process(*id)).collect()
}

/// A process; `None` if it has ended, or may not be read.
fn process(id: u32) -> Option<Process> {
    const RIGHTS: u32 = PROCESS_QUERY_INFORMATION | PROCESS_VM_READ | PROCESS_SYNCHRONIZE;
    // SAFETY: the call takes numbers.
    let handle = unsafe { OpenProcess(RIGHTS, 0, id) };
    if handle.is_null() {
        return None;
    }
    // SAFETY: the handle was just opened, and nothing else closes it.
    let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
    // SAFETY: the handle is open, and the call does not wait.
    if unsafe { WaitForSingleObject(handle.as_raw_handle(), 0) } == 0 {
        return None;
    }
    // The places in the blocks of a 64-bit process, which Windows has never moved.
    let parameters = number(&handle, block(&handle)? + 0x20)?;
    let environment =
        text(&handle, number(&handle, parameters + 0x80)?, number(&handle, parameters + 0x3f0)?)?;
    Some(Process {
        id,
        command_line: counted_text(&handle, parameters + 0x70)?,
        directory: counted_text(&handle, parameters + 0x38)?,
        environment: environment.split('\0').map(str::to_owned).collect(),
    })
}

/// The address of the process's environment block.
fn block(process: &OwnedHandle) -> Option<u64> {
    // SAFETY: zero is a valid value of every field.
    let mut information: PROCESS_BASIC_INFORMATION = unsafe { std::mem::zeroed() };
    let size = size_of::<PROCESS_BASIC_INFORMATION>() as u32;
    let pointer = (&raw mut information).cast();
    // SAFETY: the call fills the structure behind the pointer, whose size is given, and null requests no length.
    let status = unsafe {
        let handle = process.as_raw_handle();
        NtQueryInformationProcess(handle, ProcessBasicInformation, pointer, size, std::ptr::null_mut())
    };
    (status == 0).then_some(information.PebBaseAddress as u64)
}

fn bytes(process: &OwnedHandle, address: u64, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size];
    let pointer = bytes.as_mut_ptr().cast();
    // SAFETY: the call fills the bytes, whose number is given. An address that is not the process's own is refused.
    let result = unsafe {
        let handle = process.as_raw_handle();
        ReadProcessMemory(handle, address as *const _, pointer, size, std::ptr::null_mut())
    };
    (result != 0).then_some(bytes)
}

fn number(process: &OwnedHandle, address: u64) -> Option<u64> {
    bytes(process, address, 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The text at an address, of this many bytes.
fn text(process: &OwnedHandle, address: u64, size: u64) -> Option<String> {
    let bytes = bytes(process, address, usize::try_from(size).ok().filter(|size| *size < 1 << 20)?)?;
    let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    Some(String::from_utf16_lossy(&units))
}

/// The text that a `UNICODE_STRING` describes: its bytes in 16 bits, and its address after 8 bytes.
fn counted_text(process: &OwnedHandle, address: u64) -> Option<String> {
    let size = number(process, address)? & 0xffff;
    text(process, number(process, address + 8)?, size)
}
