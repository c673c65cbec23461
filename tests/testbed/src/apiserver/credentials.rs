//! What an API server and its clients prove themselves with: certificates, the key that signs
//! tokens, the administrator's token.
//!
//! In: a folder. Out: files in it, and arguments that name them. Never reused: each server has its
//! own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

#[derive(Debug)]
pub(super) struct Credentials {
    folder: PathBuf,
    ca_pem: String,
    admin_token: String,
}

impl Credentials {
    pub(super) fn make(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let authority = authority()?;
        let server_key = KeyPair::generate()?;
        let server = server_parameters()?.signed_by(&server_key, &authority)?;
        let token_key = KeyPair::generate()?;
        let admin_token = random_token()?;
        let this = Self { folder: folder.to_owned(), ca_pem: authority.pem(), admin_token };
        this.write("ca.crt", &this.ca_pem)?;
        this.write("server.crt", &server.pem())?;
        this.write("server.key", &server_key.serialize_pem())?;
        this.write("tokens.key", &token_key.serialize_pem())?;
        this.write("tokens.pub", &token_key.public_key_pem())?;
        this.write("tokens.csv", &format!("{},admin,admin,\"system:masters\"\n", this.admin_token))?;
        Ok(this)
    }

    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(super) fn admin_token(&self) -> &str {
        &self.admin_token
    }

    pub(super) fn server_arguments(&self) -> Vec<OsString> {
        [
            ("--tls-cert-file", "server.crt"),
            ("--tls-private-key-file", "server.key"),
            ("--service-account-key-file", "tokens.pub"),
            ("--service-account-signing-key-file", "tokens.key"),
            ("--token-auth-file", "tokens.csv"),
        ]
        .into_iter()
        .map(|(flag, file)| {
            let mut argument = OsString::from(format!("{flag}="));
            argument.push(self.folder.join(file));
            argument
        })
        .collect()
    }

    pub(super) fn write_kubeconfig(&self, path: &Path, url: &str, token: &str) -> Result<()> {
        use base64::Engine as _;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca_pem);
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": {"server": url, "certificate-authority-data": ca}}],
            "users": [{"name": "testbed", "user": {"token": token}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "testbed"}}],
            "current-context": "testbed",
        });
        std::fs::write(path, format!("{config:#}\n")).with_context(|| format!("cannot write {}", path.display()))
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named("testbed authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?)
}

fn server_parameters() -> Result<CertificateParams> {
    let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc"].map(String::from);
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = named("testbed API server");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}

fn random_token() -> Result<String> {
    let mut bytes = [0u8; 24];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
