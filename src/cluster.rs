//! The Kubernetes cluster, as a pod knows it without asking anybody.

/// What clusters call themselves unless they were told otherwise.
const DEFAULT: &str = "cluster.local";

/// The cluster's domain, out of a pod's `/etc/resolv.conf`.
///
/// The kubelet writes the cluster's names first into the search list, `<namespace>.svc.<domain> svc.<domain> <domain>`,
/// and those of the node behind them. A pod that does not ask the cluster's name server has none of them, and the
/// domain is the usual one.
pub fn domain<'a>(resolv_conf: &'a str, namespace: &str) -> &'a str {
    let searched = |line: &'a str| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("search")).then_some(words)
    };
    // as resolvers do: the last of several counts
    let searched = resolv_conf.lines().filter_map(searched).next_back();
    let names: Vec<&str> = searched.into_iter().flatten().collect();
    let below = |parent: &str| names.iter().find_map(|name| name.strip_prefix(parent));
    let found = below(&format!("{namespace}.svc.")).or_else(|| below("svc."));
    let found = found.map(|domain| domain.trim_end_matches('.'));
    found.filter(|domain| is_domain(domain)).unwrap_or(DEFAULT)
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(plain)
    };
    text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_domain_is_what_comes_after_the_namespace() {
        for (file, found) in [
            (
                "search prod.svc.cluster.local svc.cluster.local cluster.local\n\
                 nameserver 10.152.183.10\noptions ndots:5\n",
                "cluster.local",
            ),
            (
                "nameserver fd00::a\n\
                 search prod.svc.k8s.example svc.k8s.example k8s.example corp.example\n",
                "k8s.example",
            ),
            // a domain of one label, tabs, dots at the ends, no last line break
            ("search\tprod.svc.k8s.\tsvc.k8s.\tk8s.", "k8s"),
            // the last one counts
            (
                "search prod.svc.old.example\n# search prod.svc.not.example\nsearch prod.svc.new.example\n",
                "new.example",
            ),
            // a namespace of another name than the model's
            (
                "search other.svc.k8s.example svc.k8s.example",
                "k8s.example",
            ),
            // a namespace that looks like something else
            ("search svc.svc.k8s.example svc.k8s.example", "k8s.example"),
        ] {
            let namespace = if file.contains("svc.svc") {
                "svc"
            } else {
                "prod"
            };
            assert_eq!(domain(file, namespace), found, "{file}");
        }
    }

    #[test]
    fn a_file_that_says_nothing_leaves_the_usual_domain() {
        for file in [
            "",
            "nameserver 1.1.1.1\n",
            "search\n",
            "search corp.example\n",
            "search prod.svc.\n",
            "search prod.svc.a..b\n",
            "search prod.svc.a/b\n",
            "search prod.svc.\"\n",
            "searching prod.svc.k8s.example\n",
            "; search prod.svc.k8s.example\n",
        ] {
            assert_eq!(domain(file, "prod"), "cluster.local", "{file}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_an_answer(file in "(search |prod\\.svc\\.|svc\\.|[a-z./ \n]|\\PC){0,40}") {
            prop_assert!(is_domain(domain(&file, "prod")));
        }
    }
}
