//! Every timeout, size and count that bounds the program's work, with the source of its value.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Discovery's deadline: kubeadm's `timeouts.discovery` (`cmd/kubeadm/app/constants`, `DiscoveryTimeout`).
pub const DISCOVERY: Duration = Duration::from_mins(5);
/// The deadline of the certificate request: kubeadm's `timeouts.tlsBootstrap` (`TLSBootstrapTimeout`).
pub const TLS_BOOTSTRAP: Duration = Duration::from_mins(5);
/// How long a serving certificate is waited for. The node works without it, and the start of the kubelet waits too:
/// enough for an approver that watches requests, which decides within a second or two; a person takes longer anyway.
pub const SERVING: Duration = Duration::from_secs(10);
/// How long one plain request may take: kubeadm gives each discovery GET ten seconds (`app/discovery/token`).
pub const REQUEST: Duration = Duration::from_secs(10);
/// How long connecting to one of several addresses may take, so that a black hole does not eat the request's time.
pub const CONNECT_ONE_OF_MANY: Duration = Duration::from_secs(1);
/// How long a connection to one of several endpoints may take with all that belongs to it: name lookup, a proxy's
/// CONNECT, the TLS handshake. Behind a load balancer or a proxy a black hole has an open port.
pub const DIAL_ONE_OF_MANY: Duration = Duration::from_secs(3);
/// How long one name server is waited for (resolv.conf(5), `timeout`).
pub const DNS_TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest time before another name server is asked too, however little is left.
pub const DNS_STEP: Duration = Duration::from_millis(100);
/// How often one name server is asked at most. glibc takes 5 (resolv.conf(5), `attempts`), Go any number; time ends it
/// sooner.
pub const DNS_ATTEMPTS: usize = 100;
/// Name servers that are asked, the first ones (resolv.conf(5), `MAXNS`).
pub const NAME_SERVERS: usize = 3;
/// A DNS message over UDP, which no network of today tears apart (DNS flag day 2020; `net/dnsclient_unix.go`,
/// `maxDNSPacketSize`).
pub const DNS_DATAGRAM: u16 = 1232;
/// A DNS name in text, with the dot at its end (RFC 1035, section 2.3.4: 255 bytes in a message).
pub const DNS_NAME: usize = 254;
/// Addresses of one name that are tried; a complete message over TCP could bring thousands.
pub const ADDRESSES: usize = 256;
/// One line of `/etc/hosts` and `/etc/resolv.conf`, as in Go (`net/parse.go`).
pub const HOSTS_LINE: u64 = 64 * 1024;
/// Either of the two files; lists that block half of the Internet have about 5 MiB. It is read line by line.
pub const HOSTS_BYTES: u64 = 16 * 1024 * 1024;
/// How long 401, 403 and what does not verify are taken for "not yet": the API server learns of a new token or role
/// binding, and the signer of a changed cluster-info, through informers, which are seconds behind at most.
pub const REFUSAL_GRACE: Duration = Duration::from_secs(10);
/// The longest pause between two attempts: kubeadm polls every five seconds (`DiscoveryRetryInterval`).
pub const BACKOFF_CAP: Duration = Duration::from_secs(5);
/// Less time than this is no time for another attempt: a TLS handshake alone can take as long.
pub const LAST_ATTEMPT: Duration = Duration::from_millis(500);
/// The upper end of the first pause.
pub const BACKOFF_START: Duration = Duration::from_millis(250);
/// The longest Retry-After that is honoured; Kubernetes itself asks for 1 to 60 seconds.
pub const RETRY_AFTER_CAP: Duration = Duration::from_mins(2);

/// How long one watch is asked to last; the API server ends it then and the program watches again from where it was.
pub const WATCH: Duration = Duration::from_mins(5);
/// After this long without a byte the watch looks up: says what it waits for, checks the deadline.
pub const WATCH_TICK: Duration = Duration::from_secs(2);
/// After this long without a byte the connection counts as dead. Bookmarks come about once a minute
/// (`k8s.io/apiserver/pkg/storage/cacher`, `bookmarkFrequency`).
pub const WATCH_SILENCE: Duration = Duration::from_secs(90);
/// Names from outside that one message lists: as many as a reader compares.
pub const SHOWN_NAMES: usize = 4;
/// How many keys one run may use up on requests that were denied, failed or expired before it came.
pub const KEYS_PER_RUN: u32 = 3;

/// An HTTP response's header, an API server's or a proxy's, and the buffer that it has to fit in.
pub const HEADER_BYTES: usize = 16 * 1024;
/// A complete response body: a ConfigMap holds at most 1 MiB of data (`pkg/apis/core/validation`, `MaxSecretSize`), which
/// JSON's escapes at most double here.
pub const BODY_BYTES: usize = 3 * 1024 * 1024;
/// All bytes that come over the wire for one request, but for a watch: a complete body in chunks of one byte takes six
/// times its size. What has no other limit ends here, answers with 1xx among it.
pub const ANSWER_BYTES: usize = 8 * BODY_BYTES;
/// One watch event: an object is at most 1.5 MiB in etcd (`--max-request-bytes`).
pub const EVENT_BYTES: usize = 2 * 1024 * 1024;
/// The part of a server's error text that is shown.
pub const FOREIGN_TEXT: usize = 300;
/// The part of a page in which its first words are looked for: behind a head of styles, that of a proxy's error page begins
/// within two thousand bytes.
pub const PAGE_TEXT: usize = 4096;
/// What is shorter is not a secret that lines are searched for: it would be found in words of all kinds.
pub const HIDDEN_LEAST: usize = 4;

/// One message to the service manager (systemd's `src/core/manager.c`, `NOTIFY_BUFFER_MAX`, which is `PIPE_BUF`): a
/// longer one is ignored.
pub const NOTIFY_BYTES: usize = 4096;

/// How much of the stack is overwritten at the end. A join uses about 60 KB of it, and the copies of secrets lie in the
/// upper 16 KB; less than is in use anyway, so that it costs no page of memory.
pub const STACK: usize = 48 * 1024;

/// A join command, and the arguments in a file of variables, in bytes: what one argument of a program may have
/// (`linux/binfmts.h`, `MAX_ARG_STRLEN`).
pub const LINE: usize = 128 * 1024;

/// YAML text: the ConfigMap's limit again.
pub const YAML_BYTES: usize = 1024 * 1024;
/// YAML nesting; a kubeconfig needs six levels, more where it has extensions.
pub const YAML_DEPTH: usize = 32;
/// YAML nodes in one document.
pub const YAML_NODES: usize = 10_000;

/// What the YAML scanner may hold at once, in tokens of 104 bytes: all of a collection in brackets or braces. A thousand
/// entries with their values are five thousand.
pub const YAML_TOKENS: usize = 12_000;
/// Values that are kept of one response of the API server: a request has twenty, and a list of requests of one name has
/// one request. More of them would take megabytes.
pub const JSON_VALUES: usize = 10_000;

/// Certificates in one bundle; clusters have one CA, or a few while they rotate it.
pub const CERTIFICATES: usize = 32;
/// One certificate in DER. A leaf with a thousand names fits.
pub const CERTIFICATE_BYTES: usize = 64 * 1024;
/// A local file that is read: kubelet.conf, ca.crt, a stored key pair.
pub const FILE_BYTES: usize = 1024 * 1024;
/// A path on the node's disk (`PATH_MAX` of limits.h).
pub const PATH: usize = 4096;
/// Entries of a directory that is looked through; a kubelet's store gets one a year.
pub const ENTRIES: usize = 10_000;
/// Files and directories of an image that are searched for secrets. A Debian with units, a boot loader and cloud-init has
/// about two thousand in the places that are searched.
pub const CHECKED_FILES: usize = 20_000;
/// Directories below a place that are searched for secrets; cloud-init's lie five deep.
pub const CHECKED_DEPTH: u32 = 16;
/// Files of any kind below a directory of patches, which together have at most [`YAML_BYTES`]; kubeadm knows seven targets.
pub const PATCH_FILES: usize = 256;
/// Directories below it in each other.
pub const PATCH_DEPTH: u32 = 16;
/// Symbolic links followed in one path, as Linux has it (`fs/namei.c`, `MAXSYMLINKS`).
pub const LINKS: usize = 40;
/// How often a file is looked at that is replaced by another one between the look and the opening. Whoever replaces files
/// in good faith does so once.
pub const LOOKS: usize = 3;

/// The modulus of an RSA key that signs for a client certificate, in bits: what ring signs with (`ring::rsa::KeyPair`).
pub const RSA_CLIENT_BITS: RangeInclusive<usize> = 2048..=4096;

/// What a request may ask for, in seconds: at least ten minutes (`pkg/apis/certificates/validation`,
/// `validateCertificateSigningRequest`), and what the field, an int32, holds.
pub const EXPIRATION_SECONDS: RangeInclusive<u32> = 600..=i32::MAX.cast_unsigned();
/// Names and addresses in one serving certificate; a node has a handful.
pub const ALT_NAMES: usize = 64;
/// A node name: DNS-1123 subdomain (`k8s.io/apimachinery/pkg/util/validation`, `DNS1123SubdomainMaxLength`).
pub const NODE_NAME: usize = 253;
/// A label's value, which `kubernetes.io/hostname` has to hold (`LabelValueMaxLength`).
pub const LABEL: usize = 63;
