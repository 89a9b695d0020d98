//! Uploads, and images made of them.

use novacron_protocol::limits::BLOB_BYTES_MAX;
use novacron_protocol::{Digest, ImageId};
use serde_json::json;

use crate::fixture::{Member, kernel_manifest};

#[test]
fn an_image_is_made_of_what_was_uploaded_and_nothing_less() {
    let member = Member::start();
    let content = b"a kernel".repeat(1000);
    let (image, manifest) = kernel_manifest(&content);
    let create = || member.post("/images", json!({ "name": "alpine", "manifest": image }));
    let problem = create().expect(409).problem();
    assert_eq!((problem.code.as_str(), problem.missing), ("blobs-missing", Some(1)));
    member.put_blob(&manifest).expect(201);
    let problem = create().expect(409).problem();
    assert_eq!((problem.code.as_str(), problem.missing), ("blobs-missing", Some(1)));

    let chunk = Digest::of(&content);
    let ask = json!({ "digests": [image, chunk, chunk] });
    let missing = member.post("/blobs/missing", ask.clone()).expect(200);
    assert_eq!(missing.json, json!({ "missing": [chunk] }));
    member.put_blob(&content).expect(201);
    member.put_blob(&content).expect(200);
    assert_eq!(member.post("/blobs/missing", ask).json, json!({ "missing": [] }));

    let made = create().expect(202);
    assert_eq!(made.json["operation"]["status"], "done", "one member of one is a majority");
    let shown = member.get("/images/alpine").expect(200);
    assert_eq!(shown.json["id"], json!(image));
    assert_eq!((&shown.json["safe"], &shown.json["holders"]), (&json!(true), &json!([1])));
    assert_eq!(shown.json["files"][0]["role"], "kernel");
    let again = create().expect(202);
    assert_eq!(again.json["image"]["id"], json!(image), "the same again is no mistake");

    member.create_vm("web", image);
    let used = member.call("DELETE", "/images/alpine", None).expect(409).problem();
    assert!(used.detail.contains("web"), "{}", used.detail);
    member.call("DELETE", "/vms/web", None).expect(202);
    member.call("DELETE", &format!("/images/{image}"), None).expect(204);
    member.get("/images/alpine").expect(404);
}

#[test]
fn blobs_that_are_not_what_they_claim_are_refused() {
    let member = Member::start();
    let content = b"content".repeat(100);
    let digest = Digest::of(&content);
    let put = |digest: &str, stored: Vec<u8>| {
        member.request("PUT", &format!("/blobs/{digest}")).send_bytes(stored)
    };
    let right = digest.to_string();
    let other = zstd::encode_all(&b"other"[..], 1).unwrap();
    let stored = zstd::encode_all(&content[..], 1).unwrap();
    for (digest, stored, status, code) in [
        ("xyz", stored.clone(), 400, "invalid-parameter"),
        (right.as_str(), other, 422, "invalid-blob"),
        (right.as_str(), content.clone(), 422, "invalid-blob"),
        (right.as_str(), stored[..stored.len() - 2].to_vec(), 422, "invalid-blob"),
        (right.as_str(), vec![0; BLOB_BYTES_MAX + 1], 422, "invalid-blob"),
        (right.as_str(), skippable(BLOB_BYTES_MAX + 1), 413, "body-too-large"),
    ] {
        let problem = put(digest, stored).problem();
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
    }
    let wrong_type = member
        .request("PUT", &format!("/blobs/{digest}"))
        .header("content-type", "application/json")
        .send_bytes(stored.clone());
    assert_eq!(wrong_type.problem().code, "unsupported-media-type");
    let missing = member.post("/blobs/missing", json!({ "digests": [digest] }));
    assert_eq!(missing.json, json!({ "missing": [digest] }), "nothing of all that was kept");
    put(&right, stored).expect(201);
}

/// Valid zstd that expands to nothing, of any length.
fn skippable(len: usize) -> Vec<u8> {
    let mut frame = 0x184d_2a50_u32.to_le_bytes().to_vec();
    frame.extend(u32::try_from(len).unwrap().to_le_bytes());
    frame.resize(8 + len, 0);
    frame
}

#[test]
fn a_blob_that_is_no_manifest_makes_no_image() {
    let member = Member::start();
    let garbage = b"no manifest";
    member.put_blob(garbage).expect(201);
    let create =
        |manifest: ImageId| member.post("/images", json!({ "name": "x", "manifest": manifest }));
    let problem = create(ImageId(Digest::of(garbage))).expect(422).problem();
    assert_eq!(
        (problem.code.as_str(), problem.errors[0].pointer.as_str()),
        ("invalid-blob", "/manifest")
    );
    let too_many = vec![Digest::of(b""); 10_001];
    let problem =
        member.post("/blobs/missing", json!({ "digests": too_many })).expect(422).problem();
    assert_eq!(problem.errors[0].pointer, "/digests");
}
