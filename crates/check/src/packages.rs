//! Which modules the packages on PyPI bring, as far as flows import them.
//!
//! A package that is not listed may bring anything: what it installs cannot be told from its name.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::LazyLock;

/// What promptflow 1.18.5 and promptflow-tools 1.6.1 bring, and so every place where a flow runs:
/// the packages of flowgate's own lock, by their normalized names.
const BASE: &str = "aniso8601 annotated-doc annotated-types anyio argcomplete attrs azure-core \
    azure-identity azure-monitor-opentelemetry-exporter blinker certifi cffi charset-normalizer click colorama \
    cryptography docstring-parser exceptiongroup fastapi filelock filetype flask flask-cors flask-restx gitdb \
    gitpython google-search-results googleapis-common-protos greenlet h11 httpcore httpcore2 httpx httpx2 \
    httpx2-jsfetch idna importlib-metadata importlib-resources isodate itsdangerous jaraco-classes jeepney jinja2 \
    jiter jsonschema jsonschema-specifications keyring markupsafe marshmallow more-itertools msal msal-extensions \
    msrest numpy oauthlib openai opentelemetry-api opentelemetry-exporter-otlp-proto-common \
    opentelemetry-exporter-otlp-proto-http opentelemetry-proto opentelemetry-sdk \
    opentelemetry-semantic-conventions packaging pandas pillow promptflow promptflow-core promptflow-devkit \
    promptflow-tools promptflow-tracing protobuf psutil pycparser pydantic pydantic-core pydash pyjwt \
    python-dateutil python-dotenv pytz pywin32 pywin32-ctypes referencing regex requests requests-oauthlib rpds-py \
    ruamel-yaml secretstorage six smmap sniffio sqlalchemy starlette strictyaml tabulate tiktoken truststore \
    typing-extensions typing-inspection tzdata urllib3 waitress werkzeug zipp";

/// What Microsoft's base image holds besides: the engine's parts for Azure, promptflow-vectordb and
/// what serves flows, with what these bring. The image's own list is not public; what only some of
/// its versions hold is listed too.
const HOSTED: &str = "promptflow-azure promptflow-vectordb promptflow-image-bundle pip setuptools wheel \
    gunicorn uvicorn azure-keyvault-secrets tenacity";

/// What the official Python image holds.
const OFFICIAL: &str = "pip setuptools wheel";

/// A package that promptflow's extra `azure` brings.
pub(crate) const AZURE_EXTRA: &str = "promptflow-azure";

/// A package: its normalized name; its modules, where these are not its name with `_` for `-`; and
/// the packages of this list, or modules of others, that it brings. `*`: it may bring anything.
type Package = (&'static str, &'static str, &'static str);

/// Of several packages with the same module, the usual one stands first.
const PACKAGES: &[Package] = &[
    ("aiohttp", "", "yarl multidict attrs"),
    ("aiofiles", "", ""),
    ("annotated-doc", "", ""),
    ("anthropic", "", "httpx pydantic anyio"),
    ("arxiv", "", "feedparser requests"),
    ("attrs", "attr attrs", ""),
    ("azure-ai-contentsafety", "azure.ai.contentsafety", "azure-core isodate"),
    ("azure-ai-documentintelligence", "azure.ai.documentintelligence", "azure-core isodate"),
    ("azure-ai-formrecognizer", "azure.ai.formrecognizer", "azure-core msrest azure-common"),
    ("azure-ai-inference", "azure.ai.inference", "azure-core isodate"),
    (
        "azure-ai-ml",
        "azure.ai.ml",
        "pyyaml azure-core azure-common azure-mgmt-core marshmallow jsonschema tqdm strictyaml colorama pyjwt \
         azure-storage-blob azure-storage-file-share azure-storage-file-datalake pydash isodate msrest opencensus-ext-azure \
         azure-monitor-opentelemetry",
    ),
    ("azure-ai-projects", "azure.ai.projects", "azure-core azure-identity azure-storage-blob openai"),
    ("azure-ai-textanalytics", "azure.ai.textanalytics", "azure-core azure-common isodate"),
    ("azure-ai-translation-text", "azure.ai.translation.text", "azure-core isodate"),
    ("azure-ai-vision-imageanalysis", "azure.ai.vision.imageanalysis", "azure-core isodate"),
    ("azure-cognitiveservices-speech", "azure.cognitiveservices.speech", "azure-core"),
    ("azure-common", "azure.common", ""),
    ("azure-core", "azure.core", "requests"),
    ("azure-cosmos", "azure.cosmos", "azure-core"),
    ("azure-data-tables", "azure.data.tables", "azure-core yarl isodate"),
    ("azure-eventhub", "azure.eventhub", "azure-core"),
    ("azure-functions", "azure.functions", "werkzeug"),
    ("azure-identity", "azure.identity", "azure-core msal msal-extensions cryptography"),
    ("azure-keyvault-keys", "azure.keyvault.keys", "azure-core isodate cryptography"),
    ("azure-keyvault-secrets", "azure.keyvault.secrets", "azure-core isodate"),
    ("azure-mgmt-core", "azure.mgmt.core", "azure-core"),
    ("azure-monitor-opentelemetry", "azure.monitor.opentelemetry", "azure-core"),
    ("azure-monitor-opentelemetry-exporter", "azure.monitor.opentelemetry.exporter", "azure-core msrest"),
    ("azure-monitor-query", "azure.monitor.query", "azure-core isodate"),
    ("azure-search-documents", "azure.search.documents", "azure-core azure-common isodate"),
    ("azure-servicebus", "azure.servicebus", "azure-core isodate"),
    ("azure-storage-blob", "azure.storage.blob", "azure-core cryptography isodate"),
    ("azure-storage-file-datalake", "azure.storage.filedatalake", "azure-core azure-storage-blob isodate"),
    ("azure-storage-file-share", "azure.storage.fileshare", "azure-core cryptography isodate"),
    ("azure-storage-queue", "azure.storage.queue", "azure-core cryptography isodate"),
    ("azureml-core", "azureml", "*"),
    ("azureml-mlflow", "azureml.mlflow", "*"),
    ("beautifulsoup4", "bs4", "soupsieve"),
    ("boto3", "", "botocore jmespath s3transfer"),
    ("bs4", "bs4", "beautifulsoup4"),
    ("chromadb", "", "*"),
    ("cohere", "", "*"),
    ("datasets", "", "*"),
    ("deepeval", "", "*"),
    ("duckdb", "", ""),
    ("elasticsearch", "", "elastic-transport"),
    ("et-xmlfile", "", ""),
    ("evaluate", "", "*"),
    ("faiss-cpu", "faiss", "numpy packaging"),
    ("faiss-gpu", "faiss", "numpy"),
    ("feedparser", "", "sgmllib3k"),
    ("filelock", "", ""),
    ("gitpython", "git", "gitdb"),
    ("google-search-results", "serpapi", "requests"),
    ("gunicorn", "", "packaging"),
    ("html2text", "", ""),
    ("html5lib", "", "six webencodings"),
    ("importlib-metadata", "", "zipp"),
    ("jaraco-classes", "jaraco", ""),
    ("json-repair", "", ""),
    ("langchain", "", "*"),
    ("langchain-community", "", "*"),
    ("langchain-core", "", "*"),
    ("langchain-openai", "", "*"),
    ("langdetect", "", "six"),
    ("levenshtein", "Levenshtein", "rapidfuzz"),
    ("llama-index", "", "*"),
    ("lxml", "", ""),
    ("markdown", "", ""),
    ("markdownify", "", "beautifulsoup4 six"),
    (
        "matplotlib",
        "matplotlib mpl_toolkits pylab",
        "numpy pillow packaging python-dateutil cycler kiwisolver pyparsing",
    ),
    ("mlflow", "", "*"),
    ("motor", "", "pymongo"),
    ("mysql-connector-python", "mysql", ""),
    ("networkx", "", ""),
    ("nltk", "", "click joblib regex tqdm"),
    ("num2words", "", "docopt"),
    ("opencensus-ext-azure", "opencensus", ""),
    ("opencv-python", "cv2", "numpy"),
    ("opencv-python-headless", "cv2", "numpy"),
    ("opencv-contrib-python", "cv2", "numpy"),
    ("openpyxl", "", "et-xmlfile"),
    ("orjson", "", ""),
    ("pdf2image", "", "pillow"),
    ("pdfminer-six", "pdfminer", "charset-normalizer cryptography"),
    ("pdfplumber", "", "pdfminer-six pillow pypdfium2"),
    ("pillow", "PIL", ""),
    ("pip", "pip", ""),
    ("plotly", "", "packaging"),
    ("promptflow", "promptflow", "*base"),
    (
        "promptflow-azure",
        "promptflow",
        "azure-core azure-storage-blob aiohttp azure-identity azure-ai-ml azure-cosmos pyjwt",
    ),
    ("promptflow-core", "promptflow", "*base"),
    ("promptflow-devkit", "promptflow", "*base"),
    ("promptflow-image-bundle", "promptflow_image_bundle", ""),
    ("promptflow-tools", "promptflow", "*base"),
    ("promptflow-tracing", "promptflow", "*base"),
    (
        "promptflow-vectordb",
        "promptflow_vectordb promptflow_vectordb_sdk azureml langchain langchain_core langchain_community \
         langchain_text_splitters langsmith langchain_pinecone langchain_qdrant pinecone weaviate qdrant_client pymongo \
         elasticsearch psycopg2 pgvector requests_cache rank_bm25 mlflow bs4 nltk lxml markdown fsspec pypdf unstructured \
         dataclasses_json pymongo_schema",
        "azure-search-documents azure-cosmos azure-ai-ml faiss-cpu tenacity pyyaml aiohttp",
    ),
    ("protobuf", "google.protobuf", ""),
    ("psycopg2-binary", "psycopg2", ""),
    ("psycopg2", "psycopg2", ""),
    ("pyarrow", "", ""),
    ("pycryptodome", "Crypto", ""),
    ("pydantic-settings", "", "pydantic python-dotenv"),
    ("pyjwt", "jwt", ""),
    ("pymongo", "pymongo bson gridfs", "dnspython"),
    ("pymssql", "", ""),
    ("pymupdf", "fitz pymupdf", ""),
    ("pymysql", "pymysql", ""),
    ("pyodbc", "", ""),
    ("pypdf", "", ""),
    ("pypdf2", "PyPDF2", ""),
    ("pypdfium2", "", ""),
    ("pytest", "pytest _pytest", "pluggy iniconfig packaging"),
    ("pytesseract", "", "pillow packaging"),
    ("python-dateutil", "dateutil", "six"),
    ("python-docx", "docx", "lxml"),
    ("python-dotenv", "dotenv", ""),
    ("python-jose", "jose", "*"),
    ("python-pptx", "pptx", "lxml pillow xlsxwriter"),
    ("pywin32", "win32api win32con pythoncom", ""),
    ("pyyaml", "yaml", ""),
    ("rank-bm25", "", "numpy"),
    ("rapidfuzz", "", ""),
    ("redis", "", ""),
    ("reportlab", "", "pillow"),
    ("rouge", "", "six"),
    ("rouge-score", "", "absl-py nltk numpy six"),
    ("rpds-py", "rpds", ""),
    ("ruamel-yaml", "ruamel.yaml", ""),
    ("sacrebleu", "", "*"),
    ("scikit-image", "skimage", "numpy scipy networkx pillow imageio tifffile"),
    ("scikit-learn", "sklearn", "numpy scipy joblib threadpoolctl"),
    ("scipy", "", "numpy"),
    ("seaborn", "", "numpy pandas matplotlib"),
    ("semantic-kernel", "", "*"),
    ("sentence-transformers", "", "*"),
    ("setuptools", "setuptools pkg_resources", ""),
    ("spacy", "", "*"),
    ("streamlit", "", "*"),
    ("tenacity", "", ""),
    ("tiktoken", "tiktoken tiktoken_ext", "regex requests"),
    ("torch", "", "*"),
    ("tqdm", "", ""),
    ("transformers", "", "*"),
    ("unstructured", "", "*"),
    ("uvicorn", "", "click h11"),
    ("wheel", "", ""),
    ("wikipedia", "", "beautifulsoup4 requests"),
    ("xlrd", "", ""),
    ("xlsxwriter", "", ""),
    ("xmltodict", "", ""),
    ("yarl", "", "idna multidict"),
];

/// The list by name, with the packages that the listed ones bring and that are not listed themselves.
static INDEX: LazyLock<HashMap<&str, Package>> = LazyLock::new(|| {
    let brought = PACKAGES.iter().flat_map(|(.., others)| others.split_whitespace()).chain(BASE.split_whitespace());
    brought.map(|name| (name, (name, "", ""))).chain(PACKAGES.iter().map(|package| (package.0, *package))).collect()
});

/// What is there without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installed {
    /// [`BASE`].
    Base,
    /// [`BASE`] and [`HOSTED`].
    Hosted,
    /// [`BASE`], and what the official Python image holds.
    Own,
}

impl Installed {
    /// The same for every flow, and large: put together once.
    fn brought(self) -> Option<&'static Brought> {
        static ALONE: LazyLock<Option<Brought>> = LazyLock::new(|| Brought::default().with(BASE.split_whitespace()));
        static WITH_HOSTED: LazyLock<Option<Brought>> =
            LazyLock::new(|| Brought::default().with(BASE.split_whitespace().chain(HOSTED.split_whitespace())));
        static WITH_OWN: LazyLock<Option<Brought>> =
            LazyLock::new(|| Brought::default().with(BASE.split_whitespace().chain(OFFICIAL.split_whitespace())));
        match self {
            Self::Own => WITH_OWN.as_ref(),
            Self::Base => ALONE.as_ref(),
            Self::Hosted => WITH_HOSTED.as_ref(),
        }
    }
}

/// True for a package of [`BASE`] or [`HOSTED`].
pub(crate) fn is_there(name: &str) -> bool {
    BASE.split_whitespace().chain(HOSTED.split_whitespace()).any(|there| there == name)
}

/// What a set of packages brings besides what is there without being asked for; `None` where one of them may bring
/// anything.
pub(crate) fn brought<'n>(installed: Installed, names: impl IntoIterator<Item = &'n str>) -> Option<Brought> {
    Brought { installed: Some(installed.brought()?), ..Brought::default() }.with(names)
}

/// The modules that packages bring.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    installed: Option<&'static Brought>,
    packages: HashSet<&'static str>,
    modules: BTreeSet<Cow<'static, str>>,
}

impl Brought {
    fn with<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let mut open: Vec<&str> = names.into_iter().collect();
        while let Some(name) = open.pop() {
            if self.packages.contains(name) || self.installed.is_some_and(|there| there.packages.contains(name)) {
                continue;
            }
            let (name, own, others) = *INDEX.get(name)?;
            self.packages.insert(name);
            if own.is_empty() {
                self.modules.insert(name.replace('-', "_").into());
            }
            self.modules.extend(own.split_whitespace().map(Cow::Borrowed));
            match others {
                "*" => return None,
                "*base" => open.extend(BASE.split_whitespace()),
                others => open.extend(others.split_whitespace()),
            }
        }
        Some(self)
    }

    /// True where importing that module finds something: it, what it is in, or a part of it.
    pub(crate) fn has(&self, module: &str) -> bool {
        let ends = module.match_indices('.').map(|(at, _)| at).chain([module.len()]);
        let mut wholes = ends.filter_map(|end| module.get(..end));
        let mut parts = self.modules.range::<str, _>((Bound::Excluded(module), Bound::Unbounded));
        wholes.any(|whole| self.modules.contains(whole))
            || parts.by_ref().take_while(|part| part.starts_with(module)).any(|part| is_within(part, module))
            || self.installed.is_some_and(|installed| installed.has(module))
    }
}

/// The usual package with that module.
pub(crate) fn package_of(module: &str) -> Option<&'static str> {
    let root = module.split('.').next().unwrap_or(module);
    let is_root = |name: &str| {
        let same = |(a, b): (u8, u8)| a == if b == b'-' { b'_' } else { b };
        name.len() == root.len() && root.bytes().zip(name.bytes()).all(same)
    };
    let has = |(name, modules, _): &&Package| {
        is_root(name) && modules.is_empty() || modules.split_whitespace().any(|known| is_within(module, known))
    };
    // Packages that bring others count for their own modules only.
    PACKAGES.iter().filter(|(name, ..)| *name != "promptflow-vectordb").find(has).map(|(name, ..)| *name)
}

fn is_within(module: &str, whole: &str) -> bool {
    module.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_the_lock() {
        let locked: BTreeSet<&str> = flowgate_flow::lock::LOCK
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| Some(line.split_once("==")?.0))
            .collect();
        assert_eq!(BASE.split_whitespace().collect::<BTreeSet<_>>(), locked);
    }

    #[test]
    fn what_packages_bring() {
        let base = brought(Installed::Base, []).expect("a base whose modules are known");
        for module in ["yaml", "sklearn", "azure.search.documents", "langchain"] {
            assert!(!base.has(module), "{module}");
        }
        for module in
            ["PIL.Image", "azure", "azure.identity.aio", "promptflow.core", "google.protobuf", "ruamel", "jwt"]
        {
            assert!(base.has(module), "{module}");
        }
        let hosted = brought(Installed::Hosted, []).expect("an image whose modules are known");
        for module in ["yaml", "azure.search.documents", "langchain.schema", "faiss", "tenacity"] {
            assert!(hosted.has(module), "{module}");
        }
        let brings = |name| brought(Installed::Base, [name]);
        assert!(brings("contoso-tools").is_none() && brings("langchain").is_none());
        assert!(brings("pypdf").is_some_and(|brought| brought.has("pypdf.errors") && brought.has("openai")));
        assert_eq!(package_of("yaml"), Some("pyyaml"));
        assert_eq!(package_of("azure.search.documents.models"), Some("azure-search-documents"));
        assert_eq!(package_of("azure.nothing"), None);
        assert_eq!(package_of("cv2"), Some("opencv-python"));
        let mut names: Vec<_> = PACKAGES.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PACKAGES.len(), "a package stands twice");
    }
}
