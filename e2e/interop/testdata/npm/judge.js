// Verifies a bundle as npm does: times, signer, log entries and signature. What is stated
// it leaves to whoever asks. Exit code 0: it holds; 1: it does not, and why is said.
//
//   node judge.js BUNDLE TRUSTED_ROOT TIMES key KEY HINT
//   node judge.js BUNDLE TRUSTED_ROOT TIMES identity SUBJECT ISSUER
//
// TIMES is how many trusted times there have to be. KEY is the public key (PEM) that the
// bundle names by HINT. SUBJECT and ISSUER are whom the certificate names; that no log of
// certificates has it is taken.
const fs = require('node:fs');
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');

const [bundle, trustedRoot, times, kind, who, by] = process.argv.slice(2);
const json = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));
try {
  const keys = kind === 'key' ? { [by]: { rawBytes: fs.readFileSync(who, 'utf8') } } : {};
  const policy = kind === 'key' ? undefined : { subjectAlternativeName: who, extensions: { issuer: by } };
  const trusted = toTrustMaterial(TrustedRoot.fromJSON(json(trustedRoot)), keys);
  new Verifier(trusted, { timestampThreshold: Number(times), ctlogThreshold: 0 }).verify(
    toSignedEntity(bundleFromJSON(json(bundle))),
    policy
  );
} catch (e) {
  console.error(`${e.name} ${e.code}: ${e.message}`);
  process.exitCode = 1;
}
