//! Every variable that Temporal reads, with both spellings where there are two.
//!
//! Without a configuration file the program has no defaults of its own but the few in the words here.

use crate::settings::Kind::{Address, Amqp, Host, List, Multiaddresses, Number, Path, Port, Text};
use crate::settings::{Variable, rows};

/// All of them, in the groups of the program's own settings.
pub(crate) static VARIABLES: &[Variable] = rows! {
    // the configuration file
    CONFIG_DAG: Path,
        "the variables are read",
        "path of a configuration file; must stay empty, since the program reads a file instead of all \
         variables, never both";

    // API
    API_CONNECTION_CERTIFICATES_CERTPATH | API_CONNECTION_CERTIFICATES_CERT_PATH: Path,
        "plain HTTP", "certificate of the API, in PEM; the file must be there, or the API stops";
    API_CONNECTION_CERTIFICATES_KEYPATH | API_CONNECTION_CERTIFICATES_KEY_PATH: Path,
        "plain HTTP", "private key of that certificate; with both the API speaks TLS";
    API_CONNECTION_LISTEN_ADDRESS | API_CONNECTION_LISTENADDRESS: Host,
        "all interfaces", "address on which the API listens, port 6767";
    API_CONNECTION_PROMETHEUS_IP: Host,
        "none", "address for the metrics of the API";
    API_CONNECTION_PROMETHEUS_PORT: Port,
        "none", "port for the metrics of the API";
    API_CONNECTION_CORS_ALLOWED_ORIGINS | API_CONNECTION_CORS_ALLOWEDORIGINS: List,
        "every origin", "web sites whose pages may call the API, with commas between them";
    API_CONNECTION_LIMIT: Number,
        "50",
        "requests an hour that one client address may make, on every route including the health \
         check; behind a load balancer or an Ingress that hides them, all clients are one address, so \
         set it higher there";
    API_JWT_KEY: Text, secret,
        "an empty key, with which anyone can make a login token", "key that signs login tokens";
    API_JWT_REALM: Text,
        "after a login every request fails", "realm named in login tokens";
    API_SIZE_LIMIT_IN_GIGA_BYTES | API_SIZELIMITINGIGABYTES: Number,
        "uploads of files fail", "largest file to upload, in gigabytes (2^30 bytes)";

    // keys of other services
    API_KEYS_CHAIN_RIDER | APIKEYS_CHAINRIDER: Text, secret,
        "no Dash payments", "key for ChainRider, which reads the Dash blockchain";
    API_KEYS_COIN_MARKET_CAP | APIKEYS_COINMARKETCAP: Text, secret,
        "no prices of coins", "key for CoinMarketCap; read from release 2.8 on, `CMC_API` before and first";
    API_KEYS_RE_CAPTCHA | APIKEYS_RECAPTCHA: Text, secret,
        "no check that a person signs up",
        "key for reCAPTCHA; read from release 2.8 on, `RECAPTCHA_KEY` before and first";
    AWS_KEY_ID | AWS_KEYID: Text,
        "no use of AWS", "id of an AWS access key";
    AWS_SECRET: Text, secret,
        "no use of AWS", "secret of that AWS access key";
    SENDGRID_API_KEY | SENDGRID_APIKEY: Text, secret,
        "no e-mail is sent, and the e-mail worker fails",
        "key for SendGrid, which sends the e-mail";
    SENDGRID_EMAIL_ADDRESS | SENDGRID_EMAILADDRESS: Text,
        "no e-mail is sent, and the e-mail worker fails", "sender's address of that e-mail";
    SENDGRID_EMAIL_NAME | SENDGRID_EMAILNAME: Text,
        "no name", "sender's name of that e-mail";
    STRIPE_PUBLISHABLE_KEY | STRIPE_PUBLISHABLEKEY: Text,
        "no card payments", "public key for Stripe";
    STRIPE_SECRET_KEY | STRIPE_SECRETKEY: Text, secret,
        "no card payments", "secret key for Stripe";
    RECAPTCHA_KEY: Text, secret,
        "no check that a person signs up",
        "key for reCAPTCHA; the program reads it apart from the settings";
    CMC_API: Text, secret,
        "no prices of coins", "key for CoinMarketCap; the program reads it apart from the settings";

    // database
    DATABASE_NAME: Text,
        "`temporal`",
        "name of the database; the program reads no other than `temporal`, whatever this says";
    DATABASE_URL: Host,
        "the stack's own PostgreSQL", "host of PostgreSQL, a name or an address and not a URL";
    DATABASE_PORT: Port,
        "5432", "port of PostgreSQL";
    DATABASE_USERNAME: Text,
        "`postgres`", "role to log in as";
    DATABASE_PASSWORD: Text, secret,
        "the password of the stack's own PostgreSQL", "the role's password";

    // IPFS
    IPFS_API_CONNECTION_HOST | IPFS_APICONNECTION_HOST: Host,
        "the stack's own IPFS node", "host of the IPFS node's API";
    IPFS_API_CONNECTION_PORT | IPFS_APICONNECTION_PORT: Port,
        "5001", "port of the IPFS node's API";
    IPFS_KEYSTORE_PATH | IPFS_KEYSTOREPATH: Path,
        "none: krab needs one", "folder in which krab keeps its keys";
    IPFS_CLUSTER_API_CONNECTION_HOST | IPFSCLUSTER_APICONNECTION_HOST: Host,
        "the stack's own IPFS Cluster", "host of IPFS Cluster's REST API";
    IPFS_CLUSTER_API_CONNECTION_PORT | IPFSCLUSTER_APICONNECTION_PORT: Port,
        "9094", "port of IPFS Cluster's REST API";

    // RabbitMQ
    RABBITMQ_URL | RABBIT_MQ_URL: Amqp, secret,
        "the stack's own RabbitMQ",
        "`amqp://user:password@host:5672/vhost`, or `amqps://`; without user and password these are \
         `guest` and `guest`";
    RABBIT_MQ_TLS_CONFIG_CERT_FILE | RABBITMQ_TLSCONFIG_CERTFILE: Path,
        "no TLS", "client certificate for RabbitMQ, in PEM; all three or none";
    RABBIT_MQ_TLS_CONFIG_KEY_FILE | RABBITMQ_TLSCONFIG_KEYFILE: Path,
        "no TLS", "private key of that certificate; all three or none";
    RABBIT_MQ_TLS_CONFIG_CA_CERT_FILE | RABBITMQ_TLSCONFIG_CACERTFILE: Path,
        "no TLS", "certificate of the authority that signed RabbitMQ's; all three or none";

    // krab, and a second krab
    SERVICES_KRAB_URL: Address,
        "the stack's own krab", "`host:port` of krab, the key store";
    SERVICES_KRAB_TLS_CERT_PATH | SERVICES_KRAB_TLS_CERTPATH: Path,
        "no TLS", "certificate of krab, in PEM";
    SERVICES_KRAB_TLS_KEY_FILE | SERVICES_KRAB_TLS_KEYFILE: Path,
        "no TLS", "private key of that certificate";
    SERVICES_KRAB_AUTH_KEY | SERVICES_KRAB_AUTHKEY: Text, secret,
        "an empty word", "word that krab wants to hear from its clients";
    SERVICES_KRAB_LOG_FILE | SERVICES_KRAB_LOGFILE: Text,
        "none", "log file of krab; a path that is not from the root begins at `/daemon`";
    SERVICES_KRAB_KEYSTORE_PASSWORD | SERVICES_KRAB_KEYSTOREPASSWORD: Text, secret,
        "an empty password",
        "password with which krab encrypts its keys; with another one they cannot be read";
    SERVICES_KRAB_FALLBACK_URL | SERVICES_KRABFALLBACK_URL: Address,
        "the stack's own krab", "`host:port` of the second krab; with one krab, the same as for it";
    SERVICES_KRAB_FALLBACK_TLS_CERT_PATH | SERVICES_KRABFALLBACK_TLS_CERTPATH: Path,
        "no TLS", "certificate of the second krab, in PEM";
    SERVICES_KRAB_FALLBACK_TLS_KEY_FILE | SERVICES_KRABFALLBACK_TLS_KEYFILE: Path,
        "no TLS", "private key of that certificate";
    SERVICES_KRAB_FALLBACK_AUTH_KEY | SERVICES_KRABFALLBACK_AUTHKEY: Text, secret,
        "the word of the first krab", "word that the second krab wants to hear from its clients";
    SERVICES_KRAB_FALLBACK_LOG_FILE | SERVICES_KRABFALLBACK_LOGFILE: Text,
        "none", "log file of the second krab; likewise";
    SERVICES_KRAB_FALLBACK_KEYSTORE_PASSWORD | SERVICES_KRABFALLBACK_KEYSTOREPASSWORD: Text, secret,
        "none", "password of the second krab; the stack's programs do not read it";

    // lens, a search engine
    SERVICES_LENS_URL: Address,
        "`127.0.0.1:9998`", "`host:port` of lens, which the stack does not contain";
    SERVICES_LENS_TLS_CERT_PATH | SERVICES_LENS_TLS_CERTPATH: Path,
        "no TLS", "certificate of lens, in PEM";
    SERVICES_LENS_TLS_KEY_FILE | SERVICES_LENS_TLS_KEYFILE: Path,
        "no TLS", "private key of that certificate";
    SERVICES_LENS_AUTH_KEY | SERVICES_LENS_AUTHKEY: Text, secret,
        "an empty word", "word that lens wants to hear from its clients";
    SERVICES_LENS_OPTIONS_ENGINE_STORE_PATH | SERVICES_LENS_OPTIONS_ENGINE_STOREPATH: Path,
        "none", "folder of lens's index";
    SERVICES_LENS_OPTIONS_ENGINE_QUEUE_RATE: Number,
        "0", "rate of the queue before lens's index";
    SERVICES_LENS_OPTIONS_ENGINE_QUEUE_BATCH: Number,
        "0", "size of the batches in that queue";

    // nexus, private IPFS networks
    SERVICES_NEXUS_HOST: Host,
        "none", "host of nexus, which the stack does not contain";
    SERVICES_NEXUS_PORT: Port,
        "none", "port of nexus";
    SERVICES_NEXUS_KEY: Text, secret,
        "none", "word that nexus wants to hear from its clients";
    SERVICES_NEXUS_TLS_CERT_PATH | SERVICES_NEXUS_TLS_CERTPATH: Path,
        "no TLS", "certificate of nexus, in PEM";
    SERVICES_NEXUS_TLS_KEY_PATH | SERVICES_NEXUS_TLS_KEYPATH: Path,
        "no TLS", "private key of that certificate";
    SERVICES_NEXUS_DELEGATOR_PORT: Port,
        "none", "port on which nexus passes requests on to its networks";

    // RTNS, which publishes IPNS records
    SERVICES_RTNS_MULTI_ADDRESSES | SERVICES_RTNS_MULTIADDRESSES: Multiaddresses,
        "`/ip4/0.0.0.0/tcp/3999`",
        "where the `ipns-entry` worker listens, with commas between them; the program listens on port \
         3999, whatever this says";
    SERVICES_RTNS_KEY_NAME | SERVICES_RTNS_KEYNAME: Text,
        "the worker `ipns-entry` is not installed",
        "name of its own key in krab, which must be there";
    SERVICES_RTNS_DATASTORE_PATH | SERVICES_RTNS_DATASTOREPATH: Path,
        "in memory", "folder of its records, to be kept";

    // other services
    SERVICES_MONERO_RPC | SERVICES_MONERORPC: Text,
        "none", "address of a Monero RPC server";
    SERVICES_MONGO_DB_URL | SERVICES_MONGODB_URL: Text, secret,
        "none", "URL of a MongoDB, which may hold a password";
    SERVICES_MONGO_DB_DB | SERVICES_MONGODB_DB: Text,
        "none", "name of its database";
    SERVICES_MONGO_DB_UPLOAD_COLLECTION | SERVICES_MONGODB_UPLOADCOLLECTION: Text,
        "none", "name of its collection of uploads";
    SERVICES_RAVEN_URL: Text,
        "none", "URL of a Raven server";
    SERVICES_RAVEN_USER: Text,
        "none", "user there";
    SERVICES_RAVEN_PASS: Text, secret,
        "none", "the user's password";
    SERVICES_BCH_GRPC_URL | SERVICES_BCHGRPC_URL: Text,
        "none", "address of a Bitcoin Cash node's gRPC API";
    SERVICES_BCH_GRPC_CERT_FILE | SERVICES_BCHGRPC_CERTFILE: Path,
        "no TLS", "certificate of that API, in PEM";
    SERVICES_BCH_GRPC_KEY_FILE | SERVICES_BCHGRPC_KEYFILE: Path,
        "no TLS", "private key of that certificate";
    SERVICES_BCH_GRPC_WALLET_URL | SERVICES_BCHGRPC_WALLET_URL: Text,
        "none", "address of a Bitcoin Cash wallet's gRPC API";
    SERVICES_BCH_GRPC_WALLET_CERT_FILE | SERVICES_BCHGRPC_WALLET_CERTFILE: Path,
        "no TLS", "certificate of that API, in PEM";
    SERVICES_BCH_GRPC_WALLET_KEY_FILE | SERVICES_BCHGRPC_WALLET_KEYFILE: Path,
        "no TLS", "private key of that certificate";

    // Ethereum
    ETHEREUM_ACCOUNT_ADDRESS: Text,
        "no Ethereum payments", "address of the account";
    ETHEREUM_ACCOUNT_KEY_FILE | ETHEREUM_ACCOUNT_KEYFILE: Path,
        "no Ethereum payments", "file with the account's encrypted key";
    ETHEREUM_ACCOUNT_KEY_PASS | ETHEREUM_ACCOUNT_KEYPASS: Text, secret,
        "no Ethereum payments", "password of that file";
    ETHEREUM_CONNECTION_RPC_IP: Host,
        "none", "host of an Ethereum node";
    ETHEREUM_CONNECTION_RPC_PORT: Port,
        "none", "port of that node";
    ETHEREUM_CONNECTION_IPC_PATH: Path,
        "none", "socket of an Ethereum node";
    ETHEREUM_CONNECTION_INFURA_URL: Text,
        "none", "URL of Infura, instead of a node";
    ETHEREUM_CONTRACTS_RTC_ADDRESS | ETHEREUM_CONTRACTS_RTCADDRESS: Text,
        "none", "address of the contract of RTC, the operator's coin";
    ETHEREUM_CONTRACTS_PAYMENT_CONTRACT_ADDRESS | ETHEREUM_CONTRACTS_PAYMENTCONTRACTADDRESS: Text,
        "none", "address of the contract that takes payments";
    ETHEREUM_SWARM_URL1: Text,
        "none", "URL of a Swarm node; read from release 2.8 on";
    ETHEREUM_SWARM_URL2: Text,
        "none", "URL of a second one; read from release 2.8 on";

    // pay, the payment signer
    PAY_ADDRESS: Host,
        "`127.0.0.1`, port 9090", "host of the payment signer, which the stack does not contain";
    PAY_PORT: Port,
        "none", "port of the payment signer";
    PAY_PROTOCOL: Text,
        "none", "protocol of the payment signer";
    PAY_TLS_CERT_PATH | PAY_TLS_CERTPATH: Path,
        "no TLS", "certificate of the payment signer, in PEM";
    PAY_TLS_KEY_PATH | PAY_TLS_KEYPATH: Path,
        "no TLS", "private key of that certificate";
    PAY_AUTH_KEY | PAY_AUTHKEY: Text, secret,
        "an empty word", "word that the payment signer wants to hear from its clients";

    // wallets: addresses to which users pay
    WALLETS_ETH: Text,
        "none", "address for payments in Ethereum";
    WALLETS_RTC: Text,
        "none", "address for payments in RTC, the operator's coin";
    WALLETS_XMR: Text,
        "none", "address for payments in Monero";
    WALLETS_DASH: Text,
        "none", "address for payments in Dash";
    WALLETS_BTC: Text,
        "none", "address for payments in Bitcoin";
    WALLETS_LTC: Text,
        "none", "address for payments in Litecoin";

    // the API of version 3
    V3_API_VERIFY_DOMAIN | V3_API_VERIFYDOMAIN: Text,
        "none", "domain in the links that confirm an e-mail address";
    V3_API_ADDRESS: Text,
        "none", "address on which it listens";
    V3_API_JWT_KEY: Text, secret,
        "an empty key, with which anyone can make a login token", "key that signs its login tokens";
    V3_API_JWT_REALM: Text,
        "an empty realm", "realm named in its login tokens";
    V3_API_JWT_TIMEOUT: Number,
        "0", "how long its login tokens hold, in hours";
    V3_API_TLS_CERT_PATH | V3_API_TLS_CERTPATH: Path,
        "no TLS", "its certificate, in PEM";
    V3_API_TLS_KEY_PATH | V3_API_TLS_KEYPATH: Path,
        "no TLS", "private key of that certificate";
    V3_GATEWAY_ADDRESS: Text,
        "none", "address on which its HTTP gateway listens";
    V3_GATEWAY_TARGET_ADDRESS | V3_GATEWAY_TARGETADDRESS: Text,
        "none", "address of the API for that gateway";
    V3_GATEWAY_TLS_CERT_PATH | V3_GATEWAY_TLS_CERTPATH: Path,
        "no TLS", "certificate of the gateway, in PEM";
    V3_GATEWAY_TLS_KEY_PATH | V3_GATEWAY_TLS_KEYPATH: Path,
        "no TLS", "private key of that certificate";

    // log
    LOG_DIR | LOGDIR: Path,
        "the working directory `/daemon`", "folder of the log files; must exist and be writable";
};
