//! The incident that comes with the program: its files, compiled in.

/// Name and bytes of each file.
pub(super) const FILES: &[(&str, &[u8])] = &[
    (
        "access.log",
        include_bytes!("../../samples/mixed-incident/access.log"),
    ),
    (
        "app.log",
        include_bytes!("../../samples/mixed-incident/app.log"),
    ),
    (
        "error.log",
        include_bytes!("../../samples/mixed-incident/error.log"),
    ),
    (
        "nginx-any.pcap",
        include_bytes!("../../samples/mixed-incident/nginx-any.pcap"),
    ),
    (
        "nginx.conf",
        include_bytes!("../../samples/mixed-incident/nginx.conf"),
    ),
];

/// What the demo is called where a path would stand.
pub(super) const NAME: &str = "demo";
