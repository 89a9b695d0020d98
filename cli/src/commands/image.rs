//! `novacron image`: what VMs boot from.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use clap::{Args, Subcommand};
use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::image::{CreateImage, ImageAccepted, ImageView};
use novacron_protocol::api::operation::OperationView;
use novacron_protocol::image::FileRole;
use novacron_protocol::{ByteCount, Name};

use crate::client::{Answer, Call, Client, ClientError};
use crate::failure::Failure;
use crate::import::{self, Part, Sealed, Source, UploadError};
use crate::interrupt::Parting;
use crate::invocation::Invocation;
use crate::output::table::{Cell, Fields, Table, Tone};
use crate::output::{self, age};
use crate::progress::Progress;
use crate::resolve;
use crate::wait::{self, Detach};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Import a disk, or a kernel with its initrd, as an image
    ///
    /// Sends only what the cluster lacks: repeated after an interruption it goes on where it was.
    #[command(after_help = "Examples:
  novacron image import debian --disk debian-12-genericcloud-amd64.qcow2
  novacron image import tiny --kernel vmlinuz --initrd initrd.gz --cmdline console=ttyS0")]
    Import(Import),
    /// List images
    List,
    /// Show one image and its files
    Show {
        /// Name or id of the image
        image: String,
    },
    /// Delete an image that no VM uses
    Delete {
        /// Name or id of the image
        image: String,
    },
}

#[derive(Debug, Args)]
#[group(id = "content", required = true, multiple = true, args = ["disk", "kernel"])]
pub(crate) struct Import {
    /// Name of the image: lower-case letters, digits and inner hyphens
    name: Name,
    /// A bootable disk, raw or qcow2 (found out by itself)
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// A Linux kernel that is booted directly
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The initrd that goes with the kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Command line of the kernel
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        requires = "kernel"
    )]
    cmdline: String,
    #[command(flatten)]
    detach: Detach,
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let client = invocation.client()?;
    match verb {
        Verb::Import(import) => self::import(invocation, &client, import),
        Verb::List => {
            let images = client.list::<ImageView>("/images")?;
            invocation.output.show(&images.value, || Ok(list(invocation, &images.view)))
        }
        Verb::Show { image } => {
            let image = resolve::find::<ImageView>(&client, &image)?;
            invocation.output.show(&image.value, || Ok(show(invocation, &image.view)))
        }
        Verb::Delete { image } => {
            let image = resolve::find::<ImageView>(&client, &image)?;
            client.delete(&format!("/images/{}", image.view.id))?;
            invocation
                .output
                .show(&image.value, || Ok(format!("image {} is deleted\n", image.view.name)))
        }
    }
}

impl Import {
    fn sources(&self) -> Vec<Source> {
        let part = |path: &Option<PathBuf>, part| path.clone().map(|path| Source { path, part });
        [
            part(&self.disk, Part::Disk),
            part(&self.kernel, Part::Kernel),
            part(&self.initrd, Part::Initrd),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn import(invocation: &Invocation, client: &Client, import: Import) -> Result<(), Failure> {
    let _parting = Parting::say("the same command goes on where this one was interrupted");
    let sealed = {
        let progress = Progress::start();
        let mut read = ByteCount::ZERO;
        import::seal(import.sources(), import.cmdline, |path, bytes| {
            read += bytes;
            progress.set(format!("reading {}", path.display()), read.to_string());
        })?
    };
    let request = CreateImage { name: import.name, manifest: sealed.id.0 };
    if let Some(image) = existing(client, &sealed, &request.name)? {
        return resume(invocation, client, &image, import.detach);
    }
    let (client, accepted) = send(client, &sealed, &request)?;
    let operation = wait::part(&accepted.value, accepted.view.operation);
    wait::conclude(invocation, &client, operation, import.detach, |_| {
        let took = invocation.took();
        Ok(format!("image {} has {} ({took})\n", request.name, sealed.size()))
    })
}

/// All is sent already: waits for what is left of an import that was interrupted, if anything is.
fn resume(
    invocation: &Invocation,
    client: &Client,
    image: &Answer<ImageView>,
    detach: Detach,
) -> Result<(), Failure> {
    let name = &image.view.name;
    let said = format!("image {name} was imported before\n");
    let running = client.list::<OperationView>("/operations?status=running")?;
    let id = image.view.id.to_string();
    let at = running.view.iter().position(|operation| operation.subject.id == id);
    let Some(at) = at.filter(|_| !image.view.safe) else {
        if !image.view.safe {
            let holders = image.view.holders.len();
            output::note(&format!(
                "only {holders} member(s) hold it; if the others do not copy it, delete it with \
                 `novacron image delete {name}` and import it again"
            ));
        }
        return invocation.output.show(&image.value, || Ok(said));
    };
    let operation = Answer { value: running.value[at].clone(), view: running.view[at].clone() };
    wait::conclude(invocation, client, operation, detach, |_| Ok(said))
}

/// The image of that name, if it is this one. Another of that name is told before anything is
/// sent.
fn existing(
    client: &Client,
    sealed: &Sealed,
    name: &Name,
) -> Result<Option<Answer<ImageView>>, Failure> {
    match client.get::<ImageView>(&format!("/images/{name}")) {
        Ok(image) if image.view.id == sealed.id => Ok(Some(image)),
        Ok(_) => {
            Err(Failure::new(format!("the name {name} is taken by an image of other content"))
                .hint("choose another name, or delete that image first"))
        }
        Err(error) if error.is(ProblemCode::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How long an import tries a member that went silent, when there is another. Short: what is sent
/// anew there is sent at the speed of the network, an outage lasts as long as it lasts.
const MEMBER_PATIENCE: Duration = Duration::from_secs(3);

/// Uploads to one member and names the image there. When that member fails, the next one gets
/// the rest: blobs are asked for and sent anew, because members do not share them before.
fn send(
    client: &Client,
    sealed: &Sealed,
    request: &CreateImage,
) -> Result<(Client, Answer<ImageAccepted>), Failure> {
    let create = Call::change("/images", request).waiting(checking(sealed.size()));
    let endpoints = client.endpoints();
    let mut last = None;
    for (at, endpoint) in endpoints.iter().enumerate() {
        let is_last = at + 1 == endpoints.len();
        let member = client.only(endpoint);
        let member = if is_last { member } else { member.with_patience(MEMBER_PATIENCE) };
        match send_to(&member, sealed, &create) {
            Ok(accepted) => return Ok((client.preferring(endpoint), accepted)),
            Err(UploadError::Member(error)) if is_of_member(&error) => {
                if let Some(next) = endpoints.get(at + 1) {
                    output::note(&format!("{error}; going on with {next}"));
                }
                last = Some(error);
            }
            Err(UploadError::Member(error)) => return Err(error.into()),
            Err(UploadError::Local(failure)) => return Err(failure),
        }
    }
    Err(last.expect("a context has at least one endpoint").into())
}

/// How long a member may take to check all content of an image before it answers: it expands and
/// hashes each byte twice, and a slow disk reads 20 MB/s.
fn checking(size: ByteCount) -> Duration {
    Duration::from_secs(size.0 / 20_000_000)
}

/// Whether another member might do what this one did not.
fn is_of_member(error: &ClientError) -> bool {
    let codes = [
        ProblemCode::Unavailable,
        ProblemCode::NotReady,
        ProblemCode::BlobsMissing,
        ProblemCode::StorageFull,
        ProblemCode::Internal,
    ];
    matches!(error, ClientError::Unreachable { .. }) || codes.iter().any(|code| error.is(*code))
}

fn send_to(
    member: &Client,
    sealed: &Sealed,
    create: &Call,
) -> Result<Answer<ImageAccepted>, UploadError> {
    let progress = Progress::start();
    // Two threads report; the mutex keeps the count from going back.
    let most = Mutex::new(0);
    import::upload(member, sealed, |uploaded, there| {
        let mut most = most.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *most = there.max(*most);
        let known = match uploaded.known {
            0 => String::new(),
            known => format!(" ({known} of {} already there)", uploaded.blobs),
        };
        progress.set("uploading", format!("{most} of {} blobs{known}", uploaded.blobs));
    })?;
    progress.set("the member checks the image", String::new());
    Ok(member.call(create)?.json()?)
}

fn safety(image: &ImageView) -> Cell {
    let holders = image.holders.len();
    match image.safe {
        true => Cell::toned(format!("on {holders} members"), Tone::Good),
        false => Cell::toned(format!("unsafe, on {holders} members"), Tone::Warn),
    }
}

fn role(role: FileRole) -> &'static str {
    match role {
        FileRole::RawDisk => "raw disk",
        FileRole::Qcow2Disk => "qcow2 disk",
        FileRole::Kernel => "kernel",
        FileRole::Initrd => "initrd",
    }
}

fn list(invocation: &Invocation, images: &[ImageView]) -> String {
    let mut table = Table::new(&["NAME", ">SIZE", "FILES", "STORED", ">AGE", "ID"]);
    let ids: Vec<String> = images.iter().map(|image| image.id.to_string()).collect();
    for (image, id) in images.iter().zip(resolve::short_ids(&ids)) {
        let files: Vec<&str> = image.files.iter().map(|file| role(file.role)).collect();
        table.row(vec![
            Cell::new(&image.name),
            Cell::new(image.size),
            Cell::new(files.join(", ")),
            safety(image),
            Cell::new(age::since(image.created_at, invocation.now)),
            Cell::dim(id),
        ]);
    }
    invocation.output.table_or(&table, "no images; `novacron image import` brings one in")
}

fn show(invocation: &Invocation, image: &ImageView) -> String {
    let mut fields = Fields::default();
    fields
        .push("name", Cell::new(&image.name))
        .push("id", Cell::new(image.id))
        .push("size", Cell::new(image.size))
        .push("stored", safety(image))
        .push("cmdline", Cell::or_dash(Some(&image.cmdline)))
        .push("created", Cell::new(image.created_at));
    let mut table = Table::new(&["FILE", ">SIZE", ">GUEST SEES", "DIGEST"]);
    for file in &image.files {
        let seen = Some(file.virtual_size).filter(|size| *size != ByteCount::ZERO);
        table.row(vec![
            Cell::new(role(file.role)),
            Cell::new(file.size),
            Cell::or_dash(seen),
            Cell::dim(file.digest),
        ]);
    }
    let files = invocation.output.table_or(&table, "no files");
    format!("{}\n{files}", invocation.output.fields(&fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::fixture::invocation;
    use serde_json::json;

    #[test]
    fn an_image_is_listed_with_its_files_and_whether_it_is_safe() {
        let image = |name: &str, safe: bool| -> ImageView {
            serde_json::from_value(json!({
                "id": "ab".repeat(32), "name": name, "size": 14_680_064,
                "files": [
                    { "role": "kernel", "digest": "01".repeat(32), "size": 10_485_760, "virtual_size": 0 },
                    { "role": "qcow2-disk", "digest": "02".repeat(32), "size": 4_194_304, "virtual_size": 10_737_418_240_u64 },
                ],
                "cmdline": "console=ttyS0", "holders": [1, 2], "safe": safe,
                "created_at": "2026-11-21T07:00:00.000Z", "etag": 3,
            }))
            .unwrap()
        };
        insta::assert_snapshot!(list(&invocation(), &[image("tiny", true), image("debian-12", false)]), @r"
        NAME         SIZE  FILES               STORED                AGE  ID
        tiny       14 MiB  kernel, qcow2 disk  on 2 members           1h  abababab
        debian-12  14 MiB  kernel, qcow2 disk  unsafe, on 2 members   1h  abababab
        ");
        insta::assert_snapshot!(show(&invocation(), &image("tiny", true)), @r"
        name:     tiny
        id:       abababababababababababababababababababababababababababababababab
        size:     14 MiB
        stored:   on 2 members
        cmdline:  console=ttyS0
        created:  2026-11-21T07:00:00.000Z

        FILE          SIZE  GUEST SEES  DIGEST
        kernel      10 MiB           -  0101010101010101010101010101010101010101010101010101010101010101
        qcow2 disk   4 MiB      10 GiB  0202020202020202020202020202020202020202020202020202020202020202
        ");
    }
}
