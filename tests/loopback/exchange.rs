//! The certificate signing request: every way in which the API server, the approver and the signer can answer.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::PublicKeyData as _;
use serde_json::json;

use crate::support::api::{
    Api, Cluster, Piece, Reply, Request, Route, bookmark_object, event, status_object,
};
use crate::support::node::{BOOTSTRAP_CONF, KEY_TMP, Node};
use crate::support::pki::{self, Authority, DAY, valid};

/// The one name, which the only request has.
fn only_name(cluster: &Cluster) -> String {
    let [name] = cluster.names().try_into().expect("one request");
    name
}

/// The public keys of all POSTs, in order.
fn posted_keys(api: &Api) -> Vec<Vec<u8>> {
    let key = |request: &Request| {
        let pem = BASE64_STANDARD.decode(request.json()["spec"]["request"].as_str().expect("a request")).ok();
        let pem = String::from_utf8(pem.expect("base64")).expect("PEM");
        pki::parse_request(&pem).expect("a signed request").public_key.subject_public_key_info()
    };
    api.requests().iter().filter(|request| request.route() == Route::Create).map(key).collect()
}

#[test]
fn a_request_that_is_there_already_is_judged() {
    /// What an earlier run left on the server.
    type Before = fn(&mut Cluster, &str);
    use Route::{Create, Discovery, List, Watch};
    const WAITED: &[Route] = &[Discovery, Create, List, Watch];
    const AT_ONCE: &[Route] = &[Discovery, Create, List];
    const ANOTHER_KEY: &[Route] = &[Discovery, Create, List, Create, Watch];
    let cases: [(&str, &[Route], Before); 9] = [
        ("pending", WAITED, |_, _| {}),
        ("approved", WAITED, |cluster, name| cluster.approve(name)),
        ("issued", AT_ONCE, |cluster, _| cluster.grant()),
        ("denied", ANOTHER_KEY, |cluster, name| cluster.condition(name, "Denied")),
        ("failed", ANOTHER_KEY, |cluster, name| {
            cluster.approve(name);
            cluster.condition(name, "Failed");
        }),
        ("expired", ANOTHER_KEY, |cluster, name| {
            let authority = Authority::new("kubernetes");
            let expired = authority.sign_with(&cluster.pkcs10(name), |request| {
                valid(&mut request.params, -9 * DAY, -DAY);
            });
            cluster.approve(name);
            cluster.edit(name, |item| item["status"]["certificate"] = json!(BASE64_STANDARD.encode(expired)));
        }),
        ("under another key", ANOTHER_KEY, |cluster, name| {
            let foreign = BASE64_STANDARD.encode(pki::foreign_request("system:nodes", "system:node:n1"));
            cluster.edit(name, |item| item["spec"]["request"] = json!(foreign));
        }),
        ("for another signer", ANOTHER_KEY, |cluster, name| {
            cluster.edit(name, |item| item["spec"]["signerName"] = json!("kubernetes.io/kubelet-serving"));
        }),
        ("no PKCS#10 at all", ANOTHER_KEY, |cluster, name| {
            cluster.edit(name, |item| item["spec"]["request"] = json!("bm8="));
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, routes, before)| {
            let (api, node) = (Api::manual(), Node::new());
            let before = *before;
            api.on(Create, move |number, request, cluster| {
                if number > 0 {
                    return None;
                }
                cluster.create(request);
                let name = only_name(cluster);
                before(cluster, &name);
                Some(Reply::status(409, "AlreadyExists"))
            });
            api.on(Watch, |_, request, cluster| {
                let name = request.selected_name().unwrap_or_default().to_owned();
                cluster.approve(&name);
                cluster.issue(&name);
                None
            });
            node.joins(&api);
            assert_eq!(api.routes(), *routes);
            let keys = posted_keys(&api);
            assert!(keys.len() == 1 || keys[0] != keys[1], "the next attempt had the same key");
            assert_eq!(api.connections().len(), 1);
        },
    );
}

#[test]
fn the_watch_goes_on_from_the_version_of_the_list() {
    let (api, node) = (Api::manual(), Node::new());
    api.on(Route::Create, |_, request, cluster| {
        cluster.create(request);
        cluster.bookmark();
        Some(Reply::status(409, "AlreadyExists"))
    });
    api.on(Route::Watch, |_, _, cluster| {
        cluster.grant();
        None
    });
    node.joins(&api);
    assert_eq!(api.wait_for(Route::Watch, 1).query("resourceVersion"), Some("102"));
}

#[test]
fn a_version_that_is_gone_is_listed_again() {
    type Answer = Box<dyn Fn() -> Reply + Sync>;
    let expired = |reason: &str| event("ERROR", &status_object(410, reason, None)).to_string() + "\n";
    let (in_stream, gone) = (expired("Expired"), expired("Gone"));
    let cases: [(&str, Answer); 3] = [
        ("410 as a status", Box::new(|| Reply::status(410, "Expired"))),
        (
            "Expired in the stream",
            Box::new(move || Reply::chunked(vec![Piece::Bytes(in_stream.clone().into())])),
        ),
        ("Gone in the stream", Box::new(move || Reply::chunked(vec![Piece::Bytes(gone.clone().into())]))),
    ];
    for issued_meanwhile in [true, false] {
        crate::support::all(
            &cases,
            |case| format!("{}, issued {issued_meanwhile}", case.0),
            |(_, reply)| {
                let (api, node) = (Api::manual(), Node::new());
                let mut first = Some(reply());
                api.on(Route::Watch, move |_, _, cluster| {
                    let reply = first.take();
                    if issued_meanwhile || reply.is_none() {
                        cluster.grant();
                    }
                    reply
                });
                node.joins(&api);
                assert_eq!((api.count(Route::Create), api.count(Route::List)), (1, 1));
                assert_eq!(api.count(Route::Watch), if issued_meanwhile { 1 } else { 2 });
            },
        );
    }
}

#[test]
fn a_watch_may_be_torn_anywhere() {
    /// All events so far in one text.
    fn events(cluster: &mut Cluster) -> Vec<u8> {
        cluster.grant();
        let name = only_name(cluster);
        let lines = cluster.events_after(101, &name).into_iter().map(|(_, event)| format!("{event}\n"));
        lines.collect::<String>().into_bytes()
    }
    fn pieces(bytes: &[u8], size: usize) -> Vec<Piece> {
        bytes.chunks(size).map(|part| Piece::Bytes(part.to_vec())).collect()
    }
    type Answer = fn(Vec<u8>) -> Reply;
    let cases: [(&str, Answer); 5] = [
        ("all events in one chunk", |bytes| Reply::chunked(vec![Piece::Bytes(bytes)])),
        ("chunks of seven bytes", |bytes| Reply::chunked(pieces(&bytes, 7))),
        ("a pause inside an event", |bytes| {
            let (head, tail) = bytes.split_at(bytes.len() - 40);
            let pause = Piece::Pause(Duration::from_millis(300));
            Reply::chunked(vec![Piece::Bytes(head.to_vec()), pause, Piece::Bytes(tail.to_vec())])
        }),
        ("segments that do not fit the chunks", |bytes| {
            let mut raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for part in bytes.chunks(100) {
                raw.extend(format!("{:X}\r\n", part.len()).bytes());
                raw.extend([part, b"\r\n"].concat());
            }
            raw.extend(b"0\r\n\r\n");
            Reply::raw(pieces(&raw, 13))
        }),
        ("left open after the certificate", |bytes| Reply::chunked(vec![Piece::Bytes(bytes), Piece::Hold])),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, answer)| {
            let (api, node) = (Api::manual(), Node::new());
            let answer = *answer;
            api.on(Route::Watch, move |_, _, cluster| Some(answer(events(cluster))));
            node.joins(&api);
            assert_eq!((api.count(Route::Create), api.count(Route::Watch)), (1, 1));
        },
    );
}

#[test]
fn a_stream_that_ends_is_watched_again_from_the_last_version() {
    type First = Box<dyn Fn() -> Reply + Sync>;
    let bookmark =
        || Piece::Bytes((event("BOOKMARK", &bookmark_object("555")).to_string() + "\n").into_bytes());
    let cases: [(&str, &str, First); 4] = [
        ("ended without an event", "101", Box::new(|| Reply::chunked(Vec::new()))),
        ("cut without an event", "101", Box::new(|| Reply::chunked(Vec::new()).close())),
        ("ended after a bookmark", "555", Box::new(move || Reply::chunked(vec![bookmark()]))),
        ("cut after a bookmark", "555", Box::new(move || Reply::chunked(vec![bookmark()]).close())),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, version, first)| {
            let (api, node) = (Api::manual(), Node::new());
            let mut first = Some(first());
            api.on(Route::Watch, move |_, _, cluster| {
                if let Some(reply) = first.take() {
                    return Some(reply);
                }
                cluster.grant();
                let name = only_name(cluster);
                let issued = event("MODIFIED", cluster.item(&name)).to_string() + "\n";
                Some(Reply::chunked(vec![Piece::Bytes(issued.into_bytes())]))
            });
            node.joins(&api);
            assert_eq!(api.wait_for(Route::Watch, 2).query("resourceVersion"), Some(*version));
            assert_eq!((api.count(Route::Create), api.count(Route::Watch)), (1, 2));
        },
    );
}

#[test]
fn a_bookmark_does_not_interrupt_the_watch() {
    let (api, node) = (Api::manual(), Node::new());
    api.on(Route::Watch, |_, _, cluster| {
        cluster.bookmark();
        cluster.grant();
        None
    });
    node.joins(&api);
    assert_eq!((api.count(Route::Create), api.count(Route::Watch), api.count(Route::List)), (1, 1, 0));
}

#[test]
fn a_request_that_vanishes_is_made_again_with_the_same_key() {
    type Vanish = fn(&mut Cluster, &str) -> Option<Reply>;
    let cases: [(&str, Vanish); 2] = [
        ("DELETED while waiting", |cluster, name| {
            cluster.delete(name);
            None
        }),
        ("an empty list", |cluster, name| {
            cluster.delete(name);
            Some(Reply::status(410, "Expired"))
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, vanish)| {
            let (api, node) = (Api::manual(), Node::new());
            let vanish = *vanish;
            api.on(Route::Watch, move |number, request, cluster| {
                if number == 0 {
                    return vanish(cluster, request.selected_name().unwrap_or_default());
                }
                cluster.grant();
                None
            });
            node.joins(&api);
            let keys = posted_keys(&api);
            assert_eq!(keys.len(), 2);
            assert_eq!(keys[0], keys[1]);
        },
    );
}

/// The file with the token is for a kubelet that finishes alone: only while there is a request to approve.
#[test]
fn a_request_that_was_deleted_and_cannot_be_made_again_leaves_no_token() {
    let (api, node) = (Api::manual(), Node::new());
    api.on(Route::Create, |number, _, _| (number > 0).then(|| Reply::status(400, "BadRequest")));
    api.on(Route::Watch, |_, request, cluster| {
        cluster.delete(request.selected_name().unwrap_or_default());
        None
    });
    node.fails(&api, "denied");
    assert_eq!(api.count(Route::Create), 2);
    assert!(!node.has(BOOTSTRAP_CONF), "nobody can approve it");
}

#[test]
fn a_request_that_is_there_and_cannot_be_listed_leaves_the_token() {
    let (api, node) = (Api::manual(), Node::new());
    api.on(Route::Create, |_, _, _| Some(Reply::status(409, "AlreadyExists")));
    api.on(Route::List, |_, _, _| Some(Reply::status(400, "BadRequest")));
    node.fails(&api, "denied");
    assert!(node.has(BOOTSTRAP_CONF), "somebody may approve it");
}

#[test]
fn a_request_that_changed_its_uid_is_judged_again() {
    type Change = fn(&mut Cluster, &str);
    let cases: [(&str, usize, Change); 2] = [
        ("still ours", 1, |_, _| {}),
        ("someone else's", 2, |cluster, name| {
            let foreign = BASE64_STANDARD.encode(pki::foreign_request("system:nodes", "system:node:n1"));
            cluster.edit(name, |item| item["spec"]["request"] = json!(foreign));
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, creates, change)| {
            let (api, node) = (Api::manual(), Node::new());
            let change = *change;
            api.on(Route::Watch, move |number, request, cluster| {
                let name = request.selected_name().unwrap_or_default().to_owned();
                if number == 0 {
                    cluster.edit(&name, |item| item["metadata"]["uid"] = json!("another"));
                    change(cluster, &name);
                } else {
                    cluster.approve(&name);
                    cluster.issue(&name);
                }
                None
            });
            node.joins(&api);
            assert_eq!((api.count(Route::List), api.count(Route::Create)), (1, *creates));
        },
    );
}

#[test]
fn a_verdict_ends_the_join_and_the_next_one_has_a_new_key() {
    crate::support::all(&["Denied", "Failed"], ToString::to_string, |verdict| {
        let (api, node) = (Api::manual(), Node::new());
        api.on(Route::Watch, |number, request, cluster| {
            let name = request.selected_name().unwrap_or_default().to_owned();
            cluster.approves = number == 0;
            if number == 0 {
                cluster.condition(&name, verdict);
            }
            None
        });
        let run = node.fails(&api, "denied");
        run.says(&["by the test"]);
        assert_eq!(api.count(Route::Create), 1, "a verdict is not appealed");
        node.joins(&api);
        let keys = posted_keys(&api);
        assert!(keys.len() == 2 && keys[0] != keys[1], "the denied key was used again");
    });
}

#[test]
fn a_verdict_on_a_request_that_this_run_took_up_pending_is_final() {
    use Route::{Create, Discovery, List, Watch};
    crate::support::all(&["Denied", "Failed"], ToString::to_string, |verdict| {
        let (api, node) = (Api::manual(), Node::new());
        api.on(Create, |number, request, cluster| {
            (number == 0).then(|| {
                cluster.create(request);
                Reply::status(409, "AlreadyExists")
            })
        });
        api.on(Watch, |number, request, cluster| {
            let name = request.selected_name().unwrap_or_default();
            if number == 0 {
                cluster.condition(name, verdict);
            } else {
                cluster.approve(name);
                cluster.issue(name);
            }
            None
        });
        let run = node.fails(&api, "denied");
        run.says(&["by the test"]);
        run.check(!run.stderr.contains("earlier attempt"), "this run waited for that verdict");
        assert_eq!(api.routes(), [Discovery, Create, List, Watch]);
        assert!(!node.has(KEY_TMP), "the key is used up");
        node.joins(&api);
        let keys = posted_keys(&api);
        assert!(keys.len() == 2 && keys[0] != keys[1], "the denied key was used again");
    });
}

/// A time-out of zero is none to the API server, which then takes half an hour and more.
#[test]
fn less_than_a_second_is_still_a_time_out_for_the_watch() {
    let (api, node) = (Api::manual(), Node::new());
    // A machine that is too busy has not come to the watch by then.
    for _ in 0..20 {
        node.join(&api).with_cert().args("--tls-bootstrap-timeout 900ms").run();
        if let Some(watch) = api.requests().iter().find(|request| request.route() == Route::Watch) {
            assert_eq!(watch.query("timeoutSeconds"), Some("1"), "{}", watch.target);
            return;
        }
    }
    panic!("no watch was seen");
}
