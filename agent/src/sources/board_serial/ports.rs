//! The serial lines of this machine, under all their names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tokio_serial::{SerialPortType, available_ports};

use super::scan::device;

/// Where the kernel lists them.
const KERNEL: &str = "/sys/class/tty";
/// Where udev names them, the best name first.
const BY_PATH: &str = "/dev/serial/by-path";
const STABLE: [&str; 2] = ["/dev/serial/by-id", BY_PATH];

#[derive(Clone, Debug, Serialize)]
pub struct Port {
    pub device: PathBuf,
    /// Names that stay when it is plugged in again, the best first.
    pub stable: Vec<PathBuf>,
    pub usb: Option<Usb>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Usb {
    /// Vendor and product as four hexadecimal digits each.
    pub id: String,
    pub manufacturer: Option<String>,
    pub product: Option<String>,
    pub serial_number: Option<String>,
}

impl Port {
    /// The name to give in a configuration. Without a serial number, all boards of a kind share one name by id.
    pub fn name(&self) -> &Path {
        let is_anonymous = self.usb.as_ref().is_some_and(|usb| usb.serial_number.is_none());
        let mut fit = self.stable.iter().filter(|name| !is_anonymous || name.starts_with(BY_PATH));
        fit.next().unwrap_or(&self.device)
    }
}

/// All that the kernel and udev know of, by device.
pub fn ports() -> Vec<Port> {
    let mut ports: BTreeMap<PathBuf, Port> = BTreeMap::new();
    // The library panics where the kernel has no such folder.
    let known = if Path::new(KERNEL).is_dir() { available_ports().unwrap_or_default() } else { Vec::new() };
    for info in known {
        let usb = match info.port_type {
            SerialPortType::UsbPort(usb) => Some(Usb {
                id: format!("{:04x}:{:04x}", usb.vid, usb.pid),
                manufacturer: usb.manufacturer,
                product: usb.product,
                serial_number: usb.serial_number,
            }),
            _ => None,
        };
        let device = PathBuf::from(info.port_name);
        ports.insert(device.clone(), Port { device, stable: Vec::new(), usb });
    }
    for folder in STABLE {
        for (name, device) in names(Path::new(folder)) {
            let new = || Port { device: device.clone(), stable: Vec::new(), usb: None };
            ports.entry(device.clone()).or_insert_with(new).stable.push(name);
        }
    }
    ports.into_values().collect()
}

/// What each name in a folder leads to, by name.
fn names(folder: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path(), device(&entry.path())?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_without_a_serial_number_is_named_by_its_place() {
        let stable: Vec<PathBuf> = ["/dev/serial/by-id/usb-1a86_USB_Serial", "/dev/serial/by-path/usb-0:1"]
            .map(PathBuf::from)
            .into();
        let usb = Usb { id: "1a86:7523".into(), manufacturer: None, product: None, serial_number: None };
        let mut port = Port { device: "/dev/ttyUSB0".into(), stable, usb: Some(usb.clone()) };
        assert_eq!(port.name(), Path::new("/dev/serial/by-path/usb-0:1"));
        port.usb = Some(Usb { serial_number: Some("7".to_owned()), ..usb });
        assert_eq!(port.name(), Path::new("/dev/serial/by-id/usb-1a86_USB_Serial"));
        port.stable.clear();
        assert_eq!(port.name(), Path::new("/dev/ttyUSB0"));
    }

    #[test]
    fn names_lead_to_devices_and_a_folder_that_is_missing_has_none() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("usb-a")).unwrap();
        std::os::unix::fs::symlink("/dev/not-there", folder.path().join("usb-b")).unwrap();
        let expected = BTreeMap::from([(folder.path().join("usb-a"), PathBuf::from("/dev/null"))]);
        assert_eq!(names(folder.path()), expected);
        assert_eq!(names(&folder.path().join("none")), BTreeMap::new());
    }
}
