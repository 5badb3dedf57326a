//! Small disks of memory, one for each program that keeps something, and what can go wrong with them: full, read-only,
//! without permission. Where nothing can be mounted a plain folder takes its place.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags};

const BALLAST: &str = "ballast";

#[derive(Debug)]
pub struct Disk {
    /// The program's data_dir is the root of its disk.
    folder: PathBuf,
    mounted: bool,
}

impl Disk {
    pub fn create(folder: PathBuf, bytes: u64, mount: bool) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        if mount {
            let options = std::ffi::CString::new(format!("size={bytes},mode=0755"))?;
            rustix::mount::mount(
                "tidegate-chaos",
                &folder,
                "tmpfs",
                MountFlags::empty(),
                options.as_c_str(),
            )?;
        }
        Ok(Self { folder, mounted: mount })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes all that is free.
    pub fn fill(&self) -> io::Result<()> {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.folder.join(BALLAST))?;
        let mut chunk: &[u8] = &[0x5a; 64 * 1024];
        loop {
            match ballast.write(chunk) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull && chunk.len() > 4096 => {
                    chunk = &chunk[..4096];
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    pub fn free(&self) -> io::Result<()> {
        match fs::remove_file(self.folder.join(BALLAST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub fn deny(&self) -> io::Result<()> {
        fs::set_permissions(&self.folder, Permissions::from_mode(0o000))
    }

    pub fn allow(&self) -> io::Result<()> {
        fs::set_permissions(&self.folder, Permissions::from_mode(0o755))
    }

    /// Only while nobody has a file open for writing.
    pub fn read_only(&self, is: bool) -> io::Result<()> {
        let flags = if is { MountFlags::RDONLY } else { MountFlags::empty() };
        Ok(rustix::mount::mount_remount(&self.folder, flags, "")?)
    }

    /// Undoes every fault.
    pub fn heal(&self) -> io::Result<()> {
        if self.mounted {
            self.read_only(false)?;
        }
        self.allow()?;
        self.free()
    }

    /// Copies what is on it to where it outlives the mount.
    pub fn keep(&self, to: &Path) -> io::Result<()> {
        copy(&self.folder, to)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Whoever still has a file on it keeps it until then; the mount is gone with this process at the latest.
            let _gone = rustix::mount::unmount(&self.folder, UnmountFlags::DETACH);
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            // Not fs::copy: a store's file is mostly holes.
            copy_sparse(&entry.path(), &target)?;
        }
    }
    Ok(())
}

fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    let target = File::create(to)?;
    target.set_len(bytes.len() as u64)?;
    for (number, page) in (0_u64..).zip(bytes.chunks(4096)) {
        if page.iter().any(|byte| *byte != 0) {
            std::os::unix::fs::FileExt::write_all_at(&target, page, number * 4096)?;
        }
    }
    Ok(())
}
