//! What is claimed of a file, and how far that can be believed.

use super::{PLAIN, UNKNOWN};

/// The one name of a type that has several.
pub(super) fn canonical(name: &str) -> &str {
    match name {
        "application/javascript" | "application/x-javascript" => "text/javascript",
        "application/unknown" | "application/x-binary" | "application/x-unknown" | "binary/octet-stream" => {
            UNKNOWN
        }
        "application/x-gzip" => "application/gzip",
        "application/x-pdf" => "application/pdf",
        "application/x-rar" | "application/x-rar-compressed" => "application/vnd.rar",
        "application/x-sqlite3" => "application/vnd.sqlite3",
        "application/x-zip" | "application/x-zip-compressed" => "application/zip",
        "audio/m4a" | "audio/x-m4a" | "audio/mp4a-latm" => "audio/mp4",
        "audio/mid" | "audio/x-midi" => "audio/midi",
        "audio/mp3" | "audio/x-mp3" | "audio/x-mpeg" => "audio/mpeg",
        "audio/vnd.wave" | "audio/wave" | "audio/x-wav" => "audio/wav",
        "audio/x-aac" => "audio/aac",
        "audio/x-aiff" => "audio/aiff",
        "audio/x-flac" => "audio/flac",
        "image/heic-sequence" => "image/heic",
        "image/heif-sequence" => "image/heif",
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "image/svg" => "image/svg+xml",
        "image/x-bmp" | "image/x-ms-bmp" => "image/bmp",
        "image/x-icon" => "image/vnd.microsoft.icon",
        "image/x-png" => "image/png",
        "text/json" => "application/json",
        "text/rtf" => "application/rtf",
        "text/x-markdown" => "text/markdown",
        "video/x-m4v" => "video/mp4",
        name => name,
    }
}

/// Types by the endings of names: of texts, and of what lies in containers.
const ENDINGS: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("apk", "application/vnd.android.package-archive"),
    ("bas", PLAIN),
    ("c", PLAIN),
    ("cfg", PLAIN),
    ("conf", PLAIN),
    ("cpp", PLAIN),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("dng", "image/x-adobe-dng"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("eml", "message/rfc822"),
    ("epub", "application/epub+zip"),
    ("geojson", "application/geo+json"),
    ("gpx", "application/gpx+xml"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ics", "text/calendar"),
    ("ini", PLAIN),
    ("jar", "application/java-archive"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("log", PLAIN),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("markdown", "text/markdown"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("mka", "audio/x-matroska"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("msg", "application/vnd.ms-outlook"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("ppt", "application/vnd.ms-powerpoint"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("py", "text/x-python"),
    ("rs", PLAIN),
    ("sh", "text/x-shellscript"),
    ("sql", "application/sql"),
    ("srt", "application/x-subrip"),
    ("tex", "text/x-tex"),
    ("toml", "application/toml"),
    ("ts", PLAIN),
    ("tsv", "text/tab-separated-values"),
    ("txt", PLAIN),
    ("vcf", "text/vcard"),
    ("vtt", "text/vtt"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "text/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
];

/// What the ending of a name says, if it says anything.
pub(super) fn by_ending(filename: &str) -> Option<&'static str> {
    let (_, ending) = filename.rsplit_once('.')?;
    ENDINGS
        .iter()
        .find_map(|(known, name)| ending.eq_ignore_ascii_case(known).then_some(*name))
}

/// Whether files of this type are texts.
pub(super) fn is_textual(name: &str) -> bool {
    name.starts_with("text/")
        || name.ends_with("+json")
        || name.ends_with("+xml")
        || matches!(
            name,
            "application/ecmascript"
                | "application/json"
                | "application/sql"
                | "application/toml"
                | "application/x-httpd-php"
                | "application/x-ndjson"
                | "application/x-sh"
                | "application/x-subrip"
                | "application/x-yaml"
                | "application/xml"
                | "application/yaml"
        )
}

/// Formats that many types are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Heif,
    Matroska,
    Mp4,
    Ogg,
    Ole,
    Tiff,
    Zip,
}

fn container(name: &str) -> Option<Container> {
    let container = match name {
        "image/heic" | "image/heif" => Container::Heif,
        "audio/matroska" | "audio/webm" | "audio/x-matroska" | "video/matroska" | "video/webm"
        | "video/x-matroska" => Container::Matroska,
        "application/mp4" | "audio/3gpp" | "audio/3gpp2" | "audio/mp4" | "audio/x-m4b" | "video/3gpp"
        | "video/3gpp2" | "video/mp4" | "video/quicktime" => Container::Mp4,
        "application/ogg" | "audio/ogg" | "audio/opus" | "audio/vorbis" | "audio/x-speex" | "video/ogg" => {
            Container::Ogg
        }
        "application/msword"
        | "application/vnd.ms-excel"
        | "application/vnd.ms-outlook"
        | "application/vnd.ms-powerpoint"
        | "application/vnd.ms-project"
        | "application/vnd.ms-works"
        | "application/vnd.visio"
        | "application/x-hwp"
        | "application/x-msi"
        | "application/x-ole-storage" => Container::Ole,
        "image/tiff" | "image/x-adobe-dng" | "image/x-canon-cr2" | "image/x-nikon-nef"
        | "image/x-pentax-pef" | "image/x-sony-arw" => Container::Tiff,
        "application/java-archive"
        | "application/vnd.android.package-archive"
        | "application/vnd.apple.keynote"
        | "application/vnd.apple.numbers"
        | "application/vnd.apple.pages"
        | "application/vnd.comicbook+zip"
        | "application/vnd.google-earth.kmz"
        | "application/x-krita"
        | "application/x-xpinstall"
        | "application/zip"
        | "image/openraster" => Container::Zip,
        name if name.ends_with("+zip")
            || name.starts_with("application/vnd.oasis.opendocument.")
            || name.starts_with("application/vnd.openxmlformats-officedocument.")
            || name.starts_with("application/vnd.ms-") && name.contains(".macroenabled.") =>
        {
            Container::Zip
        }
        _ => return None,
    };
    Some(container)
}

/// Whether a claim says more of a file than its signature: it names what is in a container of this kind.
pub(super) fn same_container(claimed: &str, found: &str) -> bool {
    let general = matches!(
        claimed,
        "application/x-ole-storage" | "application/zip" | "image/heif"
    );
    !general && container(found).is_some_and(|found| container(claimed) == Some(found))
}

/// Whether each file of this type begins with a signature that is known here. QuickTime is not among them: old films begin
/// with anything.
pub(super) fn always_signed(name: &str) -> bool {
    container(name).is_some() && name != "video/quicktime"
        || matches!(
            name,
            "application/gzip"
                | "application/pdf"
                | "application/rtf"
                | "application/vnd.rar"
                | "application/vnd.sqlite3"
                | "application/wasm"
                | "application/x-7z-compressed"
                | "application/x-bzip2"
                | "application/x-xz"
                | "application/zstd"
                | "audio/aiff"
                | "audio/amr"
                | "audio/flac"
                | "audio/midi"
                | "audio/wav"
                | "font/woff"
                | "font/woff2"
                | "image/avif"
                | "image/bmp"
                | "image/gif"
                | "image/jp2"
                | "image/jpeg"
                | "image/jxl"
                | "image/png"
                | "image/svg+xml"
                | "image/vnd.adobe.photoshop"
                | "image/vnd.microsoft.icon"
                | "image/webp"
                | "video/x-flv"
                | "video/x-msvideo"
        )
}
