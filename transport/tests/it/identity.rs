//! Keys, certificates and their files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use novacron_protocol::wire::hello::Peer;
use novacron_transport::identity::IdentityError;
use novacron_transport::{
    AuthorityError, ClusterAuthority, Identity, IdentityStore, KeyRequest, PeerCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::cluster::{Cluster, DAY, host_id};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_identity_is_private_and_survives_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Cluster::new().host(1);
    identity.save(dir.path()).unwrap();
    identity.save(dir.path()).unwrap();
    assert_eq!(mode(&dir.path().join("identity.pem")), 0o600);
    let loaded = Identity::load(dir.path()).unwrap();
    assert_eq!(loaded.about(), identity.about());
    assert_eq!(loaded.ca_fingerprint(), identity.ca_fingerprint());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["identity.pem"], "no draft is left behind");
}

#[test]
fn an_authority_is_private_and_survives_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::new();
    cluster.authority.save(dir.path()).unwrap();
    assert_eq!(mode(&dir.path().join("authority.pem")), 0o600);
    let loaded = ClusterAuthority::load(dir.path()).unwrap();
    assert_eq!(loaded.fingerprint(), cluster.authority.fingerprint());
    assert_eq!(loaded.cluster(), cluster.authority.cluster());
    // What the reloaded one signs, peers of the first believe.
    let request = KeyRequest::generate().unwrap();
    let signed = loaded.sign_host(request.csr(), host_id(1), DAY).unwrap();
    let identity = request.into_identity(&signed, cluster.authority.certificate()).unwrap();
    assert_eq!(identity.peer(), Peer::Host(host_id(1)));
}

#[test]
fn a_join_tried_again_uses_the_same_key_until_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::new();
    let sign =
        |request: &KeyRequest| cluster.authority.sign_host(request.csr(), host_id(1), DAY).unwrap();
    let first = KeyRequest::load_or_generate(dir.path()).unwrap();
    assert_eq!(mode(&dir.path().join("join-key.pem")), 0o600);
    let certificate = sign(&first);
    let again = KeyRequest::load_or_generate(dir.path()).unwrap();
    let identity = again.into_identity(&certificate, cluster.authority.certificate()).unwrap();
    identity.save(dir.path()).unwrap();
    let next = KeyRequest::load_or_generate(dir.path()).unwrap();
    let refused = next.into_identity(&certificate, cluster.authority.certificate());
    assert!(matches!(refused, Err(IdentityError::Unusable(_))));
}

#[test]
fn missing_and_damaged_files_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Identity::load(dir.path()).unwrap_err();
    assert!(missing.to_string().contains("join the cluster first"), "{missing}");
    Cluster::new().host(1).save(dir.path()).unwrap();
    let path = dir.path().join("identity.pem");
    let whole = fs::read_to_string(&path).unwrap();
    for damaged in [&whole[..whole.len() / 2], "", "not PEM", &whole.replace("PRIVATE", "PUBLIC")] {
        fs::write(&path, damaged).unwrap();
        let error = Identity::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains("join the cluster again"), "{error}");
    }
}

#[test]
fn only_the_key_of_a_request_is_used() {
    let cluster = Cluster::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["root.example".into()]).unwrap();
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let uri = format!("spiffe://{}/member/1", cluster.authority.cluster());
    params.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
    let csr = params.serialize_request(&key).unwrap();
    let signed = cluster.authority.sign_host(csr.der(), host_id(5), DAY).unwrap();
    let about = PeerCertificate::from_der(&signed).unwrap();
    assert_eq!(about.peer, Peer::Host(host_id(5)));
    assert!(!String::from_utf8_lossy(&signed).contains("root.example"));
    Identity::new(key.serialized_der(), &signed, cluster.authority.certificate()).unwrap();
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let cluster = Cluster::new();
    let good = KeyRequest::generate().unwrap().csr().to_vec();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let other = rcgen::CertificateParams::default().serialize_request(&ed25519).unwrap();
    let long = vec![0x30; 100_000];
    for csr in [&forged[..], &good[..good.len() - 1], b"", other.der(), &long] {
        let refused = cluster.authority.sign_host(csr, host_id(1), DAY);
        assert!(matches!(refused, Err(AuthorityError::BadRequest(_))), "{refused:?}");
    }
}

#[test]
fn certificates_begin_before_now_and_end_when_asked() {
    let about = Cluster::new().host_for(1, DAY).about().clone();
    let life_ms = about.not_after.0 - about.not_before.0;
    assert!((86_400_000 + 299_000..=86_400_000 + 301_000).contains(&life_ms), "{life_ms}");
    let (one, two) = (Cluster::new().host(1), Cluster::new().host(1));
    assert_ne!(one.serial(), two.serial());
}

#[test]
fn a_store_keeps_its_peer() {
    let cluster = Cluster::new();
    let store = IdentityStore::new(cluster.host(1));
    assert!(store.replace(cluster.host(2)).is_err());
    assert!(store.replace(Cluster::numbered(2).host(1)).is_err());
    let renewed = cluster.host(1);
    let serial = renewed.serial();
    store.replace(renewed).unwrap();
    assert_eq!(store.current().serial(), serial);
}

#[test]
fn debug_output_holds_no_key() {
    let cluster = Cluster::new();
    let request = KeyRequest::generate().unwrap();
    let printed = format!("{:?} {:?} {:?}", cluster.authority, cluster.host(1), request);
    assert!(!printed.to_lowercase().contains("key:"), "{printed}");
    assert!(printed.len() < 1000);
}

/// What the CLI does: trust the CA, expect the address that it dialled.
#[test]
fn a_member_serves_https_with_its_certificate() {
    let cluster = Cluster::new();
    let store = IdentityStore::new(cluster.member(1));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(cluster.authority.certificate().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);
    for (name, is_served) in [("127.0.0.1", true), ("localhost", true), ("192.0.2.1", false)] {
        let name = ServerName::try_from(name).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::clone(&client), name).unwrap();
        let mut server = rustls::ServerConnection::new(store.https_server_config()).unwrap();
        assert_eq!(shake_hands(&mut client, &mut server).is_ok(), is_served);
    }
}

fn shake_hands(
    client: &mut rustls::ClientConnection,
    server: &mut rustls::ServerConnection,
) -> Result<(), rustls::Error> {
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}
