//! Opening a line, and saying in words why it cannot be.

use std::{
    fs,
    io::ErrorKind as Io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use tokio_serial::{ClearBuffer, ErrorKind, SerialPort, SerialStream};

use super::{
    entry::{SerialSettings, is_line},
    scan::{Found, device},
};
use crate::settings::FlowControl;

/// How the library describes it.
const NO_TERMINAL: &str = "Not a typewriter";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("it is not there; is the board plugged in?")]
    Absent,
    #[error("another program has it open; `fuser -v {}` names it", .0.display())]
    InUse(PathBuf),
    #[error("this program may not open it: {0}")]
    Denied(String),
    #[error("it is no serial line")]
    NoLine,
    #[error("{0}")]
    Refused(String),
}

/// An open line. What a board did not take is thrown away with it: the kernel would wait for it to leave, up to half a
/// minute.
pub(super) struct OpenLine(pub SerialStream);

impl Drop for OpenLine {
    fn drop(&mut self) {
        let _gone = self.0.clear(ClearBuffer::Output);
    }
}

/// Opens it for this program alone (TIOCEXCL and flock), raw, 8N1, with DTR set: many USB boards send only then. Blocks, and
/// needs a runtime.
pub(super) fn open(found: &Found, settings: &SerialSettings) -> Result<OpenLine, OpenError> {
    let path = &found.path;
    // Its name may lead to another device by now, which may be another source's.
    if device(path).as_ref() != Some(&found.device) {
        return Err(OpenError::Absent);
    }
    if !is_line(path) {
        return Err(OpenError::NoLine);
    }
    let flow = match settings.flow_control {
        FlowControl::None => tokio_serial::FlowControl::None,
        FlowControl::Hardware => tokio_serial::FlowControl::Hardware,
    };
    let line = tokio_serial::new(path.to_string_lossy(), settings.baud).flow_control(flow);
    let line = line.exclusive(true).dtr_on_open(true);
    SerialStream::open(&line).map(OpenLine).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &tokio_serial::Error) -> OpenError {
    match error.kind() {
        ErrorKind::Io(Io::NotFound) => OpenError::Absent,
        ErrorKind::Io(Io::PermissionDenied) => OpenError::Denied(remedy_of(path)),
        // What the library makes of EBUSY and of a lock that another holds.
        ErrorKind::NoDevice => OpenError::InUse(path.to_owned()),
        // ENOTTY has no kind of its own.
        _ if error.description == NO_TERMINAL => OpenError::NoLine,
        _ => OpenError::Refused(error.to_string()),
    }
}

/// Whether this program may open a line, as far as its mode says. Opens nothing.
pub fn permission(path: &Path) -> Result<(), OpenError> {
    use rustix::fs::{Access, access};
    match access(path, Access::READ_OK | Access::WRITE_OK) {
        Err(rustix::io::Errno::ACCESS) => Err(OpenError::Denied(remedy_of(path))),
        Err(rustix::io::Errno::NOENT) => Err(OpenError::Absent),
        _ => Ok(()),
    }
}

fn remedy_of(path: &Path) -> String {
    let group = fs::metadata(path).ok().and_then(|found| named("/etc/group", found.gid()));
    let user = named("/etc/passwd", rustix::process::geteuid().as_raw());
    remedy(group.as_deref(), user.as_deref())
}

/// The name of a group or a user. Both files have it first and its number third.
fn named(file: &str, id: u32) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(&id.to_string()))?;
    line.split(':').next().map(str::to_owned)
}

fn remedy(group: Option<&str>, user: Option<&str>) -> String {
    let user = user.unwrap_or("USER");
    match group {
        // A line of root's group has no group to join.
        None | Some("root") => {
            format!("let a udev rule give it to a group (GROUP=\"dialout\", MODE=\"0660\") with {user} in it")
        }
        Some(group) => {
            format!(
                "it belongs to group {group}; `sudo usermod -aG {group} {user}`, and start the agent again"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_open_a_line_is_told_what_to_do() {
        let denied = tokio_serial::Error::new(ErrorKind::Io(Io::PermissionDenied), "Permission denied");
        let OpenError::Denied(told) = failed(Path::new("/dev/null"), &denied) else { panic!("it is denied") };
        // /dev/null is root's everywhere.
        assert!(told.contains("udev rule"), "{told}");
        assert_eq!(
            OpenError::Denied(remedy(Some("dialout"), Some("tidegate"))).to_string(),
            "this program may not open it: it belongs to group dialout; `sudo usermod -aG dialout tidegate`, and start \
             the agent again"
        );
    }

    #[test]
    fn what_the_library_calls_no_device_is_a_line_in_use() {
        let busy = tokio_serial::Error::new(ErrorKind::NoDevice, "Device or resource busy");
        let told = failed(Path::new("/dev/ttyUSB0"), &busy).to_string();
        assert_eq!(told, "another program has it open; `fuser -v /dev/ttyUSB0` names it");
    }

    #[tokio::test]
    async fn what_is_no_serial_line_or_leads_elsewhere_by_now_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str, device: &str| {
            let path = folder.path().join(name);
            std::os::unix::fs::symlink(device, &path).unwrap();
            Found { path, device: device.into(), entry: 0 }
        };
        let place = crate::sources::board_serial::Place::Path("/dev/null".into());
        let settings = SerialSettings { at: 0, place, baud: 115_200, flow_control: FlowControl::None };
        let refused = |found: &Found| open(found, &settings).err();
        assert_eq!(refused(&name("null", "/dev/null")), Some(OpenError::NoLine));
        assert_eq!(refused(&name("folder", "/dev")), Some(OpenError::NoLine));
        assert_eq!(refused(&name("gone", "/dev/not-there")), Some(OpenError::Absent));
        let moved = Found { device: "/dev/zero".into(), ..name("moved", "/dev/null") };
        assert_eq!(refused(&moved), Some(OpenError::Absent));
    }

    #[test]
    fn names_are_found_by_their_number() {
        assert_eq!(named("/etc/passwd", 0).as_deref(), Some("root"));
        assert_eq!(named("/etc/group", u32::MAX - 7), None);
        assert_eq!(named("/no/such/file", 0), None);
    }
}
