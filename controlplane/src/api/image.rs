//! `/images`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use novacron_controlplane_core::Outcome;
use novacron_controlplane_core::command::{Command, NewImage};
use novacron_protocol::api::image::{CreateImage, ImageAccepted, ImageView};
use novacron_protocol::api::{Page, ProblemCode};
use novacron_protocol::{ImageId, OperationId};

use super::access::Caller;
use super::answer::{Answer, Reply};
use super::failure::Failure;
use super::input::{Json, Params};
use super::page::PageRequest;
use super::vm::unexpected;
use super::{Change, Shared, find, random, view};
use crate::blobs::BlobError;
use crate::cluster::Consistency;

/// List the images.
#[utoipa::path(get, path = "/api/v1/images", tag = "images",
    responses((status = 200, description = "A page of images", body = Page<ImageView>)))]
pub(crate) async fn list(State(api): State<Shared>, mut params: Params) -> Reply {
    let consistency = params.consistency()?;
    let page: PageRequest<ImageId> = PageRequest::take(&mut params, "images".to_owned())?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let images = read.state.images().filter(|image| page.after.is_none_or(|at| image.id > at));
    let page = page.cut(images, |image| image.id, |image| view::image(&read.state, image));
    Ok(Answer::ok(&page).read_from(&read))
}

/// Show an image.
#[utoipa::path(get, path = "/api/v1/images/{image}", tag = "images",
    params(("image" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The image", body = ImageView)))]
pub(crate) async fn show(
    State(api): State<Shared>,
    Path(image): Path<String>,
    mut params: Params,
) -> Reply {
    let consistency = params.consistency()?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let image = find::image(&read.state, &image)?;
    Ok(Answer::ok(&view::image(&read.state, image)).etag(image.changed).read_from(&read))
}

/// Make an image of blobs uploaded to this member before.
///
/// Checks all content first, the digests of whole files too. The operation ends when a majority of
/// the members hold the image; VMs can use it at once.
#[utoipa::path(post, path = "/api/v1/images", tag = "images",
    request_body = CreateImage,
    responses((status = 202, description = "It is under way", body = ImageAccepted)))]
pub(crate) async fn create(
    State(api): State<Shared>,
    caller: Caller,
    params: Params,
    Json(request): Json<CreateImage>,
) -> Reply {
    params.finish()?;
    let image = ImageId(request.manifest);
    let manifest = match api.blobs.manifest(image).await {
        Ok(manifest) => manifest,
        Err(BlobError::Missing(_)) => return Err(blobs_missing("the manifest", 1)),
        Err(error) => return Err(Failure::from(error).on("/manifest", "not a valid manifest")),
    };
    let digests = manifest.chunks().map(|chunk| chunk.digest).collect();
    let missing = api.blobs.missing(digests).await?.len();
    if missing > 0 {
        return Err(blobs_missing("chunks", missing));
    }
    let manifest = api.blobs.verify(manifest).await?;
    let boot = manifest.boot(image);
    let new = NewImage {
        name: request.name,
        size: boot.size(),
        boot,
        holder: api.cluster.status().member,
        operation: OperationId::from_uuid(random::uuid(api.clock.timestamp())),
    };
    let change = api.change(&caller, Command::CreateImage(new)).await?;
    accepted(&change)
}

fn blobs_missing(what: &str, count: usize) -> Failure {
    let detail = format!("{what}: {count} blob(s) are not at this member");
    let mut failure = Failure::new(ProblemCode::BlobsMissing, detail);
    failure.problem.missing = Some(count as u64);
    failure.hint("POST /api/v1/blobs/missing says which; PUT them to this same member")
}

fn accepted(change: &Change) -> Reply {
    let Outcome::Image { image, operation } = change.outcome else {
        return Err(unexpected(&change.outcome));
    };
    let state = &change.state;
    let started = state.operation(operation);
    let started = started.ok_or_else(|| find::missing("operation", operation))?;
    let image = state.image(image);
    let body = ImageAccepted {
        operation: view::operation(state, started),
        image: image.map(|image| view::image(state, image)),
    };
    Ok(Answer::json(StatusCode::ACCEPTED, &body).after(state).follow(operation))
}

/// Delete an image that no VM uses.
#[utoipa::path(delete, path = "/api/v1/images/{image}", tag = "images",
    params(("image" = String, Path, description = "Id or name")),
    responses((status = 204, description = "It is deleted")))]
pub(crate) async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    Path(image): Path<String>,
    params: Params,
) -> Reply {
    params.finish()?;
    let read = api.read(Consistency::Linearizable).await?;
    let image = find::image(&read.state, &image)?.id;
    let change = api.change(&caller, Command::DeleteImage { image }).await?;
    Ok(Answer::empty().after(&change.state))
}
