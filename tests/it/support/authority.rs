//! Who issues certificates, for servers and clients of a test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, as text.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate: what believes in it is told.
    pub(crate) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// For a server at this host, or for a client of this name.
    pub(crate) fn certify(&self, name: &str) -> Certified {
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap().pem();
        Certified { certificate, key: key.serialize_pem() }
    }
}

impl Certified {
    /// Two files of this name, with certificate and key.
    pub(crate) fn save(&self, folder: &Path, name: &str) -> [PathBuf; 2] {
        [("crt", &self.certificate), ("key", &self.key)].map(|(kind, text)| {
            let file = folder.join(format!("{name}.{kind}"));
            std::fs::write(&file, text).unwrap();
            file
        })
    }
}
