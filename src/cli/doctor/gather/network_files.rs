//! Reads the files in which the network configurations of the known distributions stand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::facts::{NetworkFiles, Place};
use super::super::network_files::{Form, addresses};

/// A file, or with a slash at its end a folder and the end of the names in it.
const PLACES: [(&str, &str, Form); 11] = [
    ("/etc/network/interfaces", "", Form::Interfaces),
    ("/etc/network/interfaces.d/", "", Form::Interfaces),
    ("/etc/netplan/", ".yaml", Form::Netplan),
    ("/run/netplan/", ".yaml", Form::Netplan),
    ("/etc/systemd/network/", ".network", Form::Networkd),
    ("/run/systemd/network/", ".network", Form::Networkd),
    ("/usr/lib/systemd/network/", ".network", Form::Networkd),
    (
        "/etc/NetworkManager/system-connections/",
        "",
        Form::NetworkManager,
    ),
    (
        "/run/NetworkManager/system-connections/",
        "",
        Form::NetworkManager,
    ),
    ("/etc/sysconfig/network-scripts/", "", Form::Ifcfg),
    ("/etc/dhcpcd.conf", "", Form::Dhcpcd),
];

/// The longest file that is read, in bytes: people write these.
const FILE_SIZE_MAX: u64 = 1024 * 1024;

/// Reads all that are there.
pub(super) fn read() -> NetworkFiles {
    let mut found = NetworkFiles::default();
    for (place, end, form) in PLACES {
        for file in files(Path::new(place), end, &mut found.unread) {
            match text(&file) {
                Ok(text) => {
                    let of_file = addresses(form, &text).into_iter().map(|(address, line)| {
                        let file = file.clone();
                        (address, Place { file, line })
                    });
                    found.addresses.extend(of_file);
                    found.read.push(file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => found
                    .unread
                    .push(format!("{} cannot be read: {error}", file.display())),
            }
        }
    }
    found
}

fn files(place: &Path, end: &str, unread: &mut Vec<String>) -> Vec<PathBuf> {
    if !place.as_os_str().to_string_lossy().ends_with('/') {
        return vec![place.to_owned()];
    }
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            unread.push(format!("{} cannot be read: {error}", place.display()));
            return Vec::new();
        }
    };
    let named = |path: &PathBuf| path.is_file() && path.to_string_lossy().ends_with(end);
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(named)
        .collect();
    files.sort();
    files
}

fn text(file: &Path) -> io::Result<String> {
    let found = fs::metadata(file)?;
    if !found.is_file() || found.len() > FILE_SIZE_MAX {
        return Err(io::Error::other("it is no file of a usual size"));
    }
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
