//! The C library's file calls under their own names. The linker prefers these, for LMDB's C code and for Rust's standard library
//! alike; each does what its namesake does, by the system call itself, and leaves a step in the recording when there is one.
//!
//! What changes files by other ways (`fallocate`, `copy_file_range`, …) is recorded as unknown, which fails the test;
//! what would slip through all of it fails there too, since the recording must explain the files byte for byte.

#![expect(
    unsafe_code,
    reason = "these are C functions, called by C code with C's promises about their arguments"
)]

use std::{
    ffi::{CStr, c_char, c_int, c_long, c_uint, c_void},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use libc::{iovec, mode_t, off_t, size_t, ssize_t};
use tidegate_tests::powercut::trace::Step;

use crate::recorder::{self, Recorder};

/// Does a call under the recorder's lock, and records it when it went well.
fn record(call: impl FnOnce() -> c_long, step: impl FnOnce(&Recorder, c_long) -> Option<Step>) -> c_long {
    let mut recorder = recorder::lock();
    let result = call();
    if result >= 0
        && let Some(recorder) = &mut *recorder
        && let Some(step) = step(recorder, result)
    {
        // The memory that this takes may change errno, which a call that went well leaves open.
        recorder.push(step);
    }
    result
}

/// Where an open file is, and whether its writes are synced one by one.
fn opened(recorder: &Recorder, fd: c_int) -> Option<(String, bool)> {
    let link = format!("/proc/self/fd/{fd}\0");
    let mut path = [0_u8; 4096];
    // SAFETY: the name ends with a zero, and the buffer is as long as said.
    let len = unsafe { libc::readlink(link.as_ptr().cast(), path.as_mut_ptr().cast(), path.len()) };
    let path = Path::new(std::ffi::OsStr::from_bytes(path.get(..usize::try_from(len).ok()?)?));
    let relative = recorder.relative(path)?;
    // SAFETY: it asks for flags and changes nothing.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    Some((relative, flags & libc::O_DSYNC != 0))
}

fn at_cursor(fd: c_int, written: c_long) -> u64 {
    // SAFETY: it asks where the file's cursor is.
    let cursor = unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) };
    (cursor - written) as u64
}

fn written(
    recorder: &Recorder,
    fd: c_int,
    offset: Option<off_t>,
    len: c_long,
    parts: &[iovec],
) -> Option<Step> {
    let (path, through) = opened(recorder, fd)?;
    let mut bytes = Vec::with_capacity(len as usize);
    for part in parts {
        // SAFETY: the kernel has just read these bytes from the same place.
        bytes.extend_from_slice(unsafe {
            std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len)
        });
    }
    bytes.truncate(len as usize);
    let offset = offset.map_or_else(|| at_cursor(fd, len), |offset| offset as u64);
    Some(Step::Write { path, offset, bytes, through })
}

fn one(bytes: *const c_void, len: size_t) -> [iovec; 1] {
    [iovec { iov_base: bytes.cast_mut(), iov_len: len }]
}

unsafe fn many<'a>(parts: *const iovec, count: c_int) -> &'a [iovec] {
    // SAFETY: as the caller of writev promised.
    unsafe { std::slice::from_raw_parts(parts, usize::try_from(count).unwrap_or(0)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: here and below, the arguments go on as they came.
    let call = || unsafe { libc::syscall(libc::SYS_write, fd, bytes, len) };
    record(call, |recorder, wrote| written(recorder, fd, None, wrote, &one(bytes, len))) as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    let call = || unsafe { libc::syscall(libc::SYS_writev, fd, parts, count) };
    record(call, |recorder, wrote| written(recorder, fd, None, wrote, unsafe { many(parts, count) }))
        as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, bytes: *const c_void, len: size_t, offset: off_t) -> ssize_t {
    let call = || unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, len, offset) };
    record(call, |recorder, wrote| written(recorder, fd, Some(offset), wrote, &one(bytes, len))) as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, len: size_t, offset: off_t) -> ssize_t {
    unsafe { pwrite(fd, bytes, len, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev(fd: c_int, parts: *const iovec, count: c_int, offset: off_t) -> ssize_t {
    // The kernel takes the offset in two halves; on 64-bit machines the upper one counts for nothing.
    let call = || unsafe { libc::syscall(libc::SYS_pwritev, fd, parts, count, offset, 0) };
    record(call, |recorder, wrote| written(recorder, fd, Some(offset), wrote, unsafe { many(parts, count) }))
        as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64(fd: c_int, parts: *const iovec, count: c_int, offset: off_t) -> ssize_t {
    unsafe { pwritev(fd, parts, count, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(fd: c_int, len: off_t) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_ftruncate, fd, len) };
    record(call, |recorder, _| Some(Step::Length { path: opened(recorder, fd)?.0, len: len as u64 })) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(fd: c_int, len: off_t) -> c_int {
    unsafe { ftruncate(fd, len) }
}

fn synced(recorder: &Recorder, fd: c_int) -> Option<Step> {
    let (path, _) = opened(recorder, fd)?;
    // SAFETY: it fills what it is given, and the zeros it is given are a valid value.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::fstat(fd, &raw mut status) };
    let is_folder = status.st_mode & libc::S_IFMT == libc::S_IFDIR;
    Some(if is_folder { Step::SyncFolder { path } } else { Step::Sync { path } })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_fsync, fd) };
    record(call, |recorder, _| synced(recorder, fd)) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_fdatasync, fd) };
    record(call, |recorder, _| synced(recorder, fd)) as c_int
}

/// C declares it with a variable number of arguments; the machines that this runs on pass them as they pass named ones.
#[unsafe(no_mangle)]
unsafe extern "C" fn open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: a name that ends with a zero.
    let (was_there, len) = unsafe { length_of(name) };
    let call = || unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name, flags, mode as c_uint) };
    let step = |recorder: &Recorder, _| {
        // SAFETY: as above.
        let path = recorder.of_name(unsafe { CStr::from_ptr(name) })?;
        match (was_there, flags & libc::O_TRUNC != 0 && len > 0) {
            (false, _) if flags & libc::O_CREAT != 0 => Some(Step::Create { path }),
            (true, true) => Some(Step::Length { path, len: 0 }),
            _ => None,
        }
    };
    record(call, step) as c_int
}

unsafe fn length_of(name: *const c_char) -> (bool, i64) {
    // SAFETY: as in `synced`.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: as the caller promised.
    let found = unsafe { libc::stat(name, &raw mut status) } == 0;
    (found, status.st_size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open(name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(name: *const c_char, mode: mode_t) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, name, mode as c_uint) };
    let step = |recorder: &Recorder, _| Some(Step::MakeFolder { path: named(recorder, name)? });
    record(call, step) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let call = || unsafe {
        libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0 as c_uint)
    };
    record(call, |recorder, _| Some(Step::Rename { from: named(recorder, from)?, to: named(recorder, to)? }))
        as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    unsafe { unlinkat(libc::AT_FDCWD, name, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(name: *const c_char) -> c_int {
    unsafe { unlinkat(libc::AT_FDCWD, name, libc::AT_REMOVEDIR) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(folder: c_int, name: *const c_char, flags: c_int) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_unlinkat, folder, name, flags) };
    let step = |recorder: &Recorder, _| {
        // SAFETY: a name that ends with a zero.
        let name = Path::new(std::ffi::OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()));
        let path = match folder {
            libc::AT_FDCWD => recorder.relative(name)?,
            folder => PathBuf::from(opened(recorder, folder)?.0).join(name).to_str()?.to_owned(),
        };
        Some(Step::Remove { path })
    };
    record(call, step) as c_int
}

fn named(recorder: &Recorder, name: *const c_char) -> Option<String> {
    // SAFETY: names given to the kernel end with a zero.
    recorder.of_name(unsafe { CStr::from_ptr(name) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    place: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    let call = || unsafe { libc::syscall(libc::SYS_mmap, place, len, protection, flags, fd, offset) };
    let writes = protection & libc::PROT_WRITE != 0 && flags & libc::MAP_SHARED != 0 && fd >= 0;
    if !writes {
        // Memory that the recorder's own work takes comes this way: it must not wait for the recorder.
        return call() as *mut c_void;
    }
    record(call, |recorder, _| Some(Step::MapWritable { path: opened(recorder, fd)?.0 })) as *mut c_void
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    place: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    unsafe { mmap(place, len, protection, flags, fd, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, len) };
    record(call, |recorder, _| unknown("fallocate", opened(recorder, fd)?.0)) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int {
    unsafe { fallocate(fd, mode, offset, len) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    let call =
        || unsafe { libc::syscall(libc::SYS_copy_file_range, from, from_offset, to, to_offset, len, flags) };
    record(call, |recorder, _| unknown("copy_file_range", opened(recorder, to)?.0)) as ssize_t
}

fn unknown(call: &str, path: String) -> Option<Step> {
    Some(Step::Unknown { call: call.to_owned(), path })
}
