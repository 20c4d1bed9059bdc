"""The catalogue of error codes: what each means and what to do, the source of ``docs/reference/errors.md``.

A test checks that each code used in the source is listed here and that each one listed is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_CODES = {
    # what training reaches
    "config.several-adapters": "The document declares named adapters under training.adapters. Training fits one "
    "adapter to a document: remove the block and the #name suffixes, or split the document.",
    "config.phase": "The phase that was asked for cannot run on this document. Leave --phase out to train its prose "
    "and its questions.",
    "cache.busy": "A training is using the token cache, so it cannot be pruned or cleared now. Wait until it has "
    "ended.",
    "cache.row-lost": "A file that this run keeps token ids in was removed or changed while it was training. Check the "
    "disk and run it again; the previous adapter version is untouched.",
    # document
    "doc.missing": "There is no file at this path. Check the spelling, or make a document with dlm init.",
    "doc.not-a-file": "The path names a folder or a device. Give the path of a .dlm text file.",
    "doc.unreadable": "The file is there and cannot be read. Check its permissions.",
    "doc.too-large": "Documents of more than 512 MiB are not read. Split it into several.",
    "doc.not-utf8": "The file is not text in the encoding UTF-8; the message gives the first bad place. Save it as "
    "UTF-8.",
    "doc.bom": "The file begins with an invisible mark that some editors write. It is ignored; save without it.",
    "doc.nul": "The file holds NUL characters, which text never does. Check that it is the right file.",
    "doc.no-path": "The document was made in memory and has no file. Give save() a path.",
    "doc.no-frontmatter": "A document begins with its settings between two lines of ---. Add them, or start with "
    "dlm init.",
    "doc.open-frontmatter": "The settings begin with --- and never end. Write a second --- line below them.",
    "doc.header-too-large": "The settings are far longer than settings can be, so the closing --- probably stands too "
    "low. Move it up.",
    "doc.yaml": "The settings are not valid YAML. Look at the named place for a missing colon, quote or blank.",
    "doc.yaml-shape": "The settings must be lines of the form key: value.",
    "doc.yaml-alias": "Anchors and aliases of YAML are not read. Write the value out, or quote it.",
    "doc.yaml-tag": "Type marks of YAML beginning with ! are not read. Remove the mark, or quote the value.",
    "doc.yaml-depth": "The settings are nested deeper than any setting goes. Remove the extra levels.",
    "doc.duplicate-key": "The same setting is written twice, and only one can hold. Remove one.",
    "doc.unknown-key": "There is no setting of this name at this place. Check spelling and indentation.",
    "doc.missing-key": "A required setting is not there. Add it.",
    "doc.bad-value": "A setting has a value of the wrong kind or out of its range. The message says what fits.",
    "doc.conflict": "Two settings are fine alone and impossible together. Change one of them.",
    "doc.adapter-name": "Adapter names are 1 to 32 small letters, digits and _, start with a letter, and are not "
    "'default' or 'versions'.",
    "doc.version-newer": "The document was written for a newer dlm. Update dlm.",
    "doc.version-unknown": "Versions of the format start at 1. Correct dlm_version or remove the line.",
    "doc.fence": "A line that opens a section, such as ::instruction::, is not written as it must be. "
    "To keep it as ordinary text, indent it.",
    "doc.near-fence": "A line looks like the start of a section but has extra blanks, so it was read as text. "
    "Remove the blanks if a section was meant.",
    "doc.open-code": "A code block was opened and never closed, so everything below it would count as code. Close it.",
    "doc.dialogue": "Questions and answers, or prompts with chosen and rejected answers, are out of order or "
    "incomplete. The message names the line that is missing or misplaced.",
    "doc.empty-answer": "There is no text below a heading such as ### A. Write some, or remove the group.",
    "doc.near-header": "A line looks like ### Q or ### A but is read as ordinary text. Write it exactly so, inside an "
    "::instruction:: section, if it was meant as one.",
    "doc.mark": "The comment that says which tool wrote a section was changed by hand and cannot be read. Remove it.",
    "doc.mark-misplaced": "A comment of dlm stands where it has no meaning and was read as text. Remove it.",
    "doc.route": "A section names an adapter that the document does not declare. Declare it under training.adapters, "
    "or remove the #name.",
    "doc.too-many-faults": "The document has more problems than are listed. Correct the first ones and try again.",
    "doc.edit": "A change was asked for that does not fit the document: an unknown section or a wrong key.",
    "doc.generated": "Text made by a tool would have opened or ended a section of its own, so it was not put into the "
    "document.",
    "config.value": "A setting was given a value of the wrong kind or out of its range. The message says what fits.",
    "migrate.differs": "The settings are written so unusually that dlm cannot rewrite them safely; the file was left "
    "alone. Update them by hand.",
    # files and folders
    "sources.foreign": "A document that came in a pack wants to read files outside its own folder. Look at its "
    "training.sources, and allow it once with dlm train --trust-sources.",
    "sources.missing": "training.sources names a file or folder that is not there. Correct the path; it counts from "
    "the folder of the document.",
    "sources.unreadable": "training.sources names something that cannot be opened. Check the path and its permissions.",
    "sources.not-a-file": "training.sources names a pipe or a device. Only files and folders can be learned.",
    "sources.outside": "training.sources names something outside the document's folder, and the document says "
    "sources_policy: strict. Move it inside, or write permissive.",
    "sources.link-outside": "A link in a folder leads out of the document's folder, and the document says "
    "sources_policy: strict. Exclude the link, or write permissive.",
    "sources.pattern": "A file pattern is far longer than patterns are, or stands for too many. Write it shorter.",
    "sources.changed": "A file was changed or removed between being found and being learned. Train again.",
    "folder.needs-base": "A folder is trained for the first time, and no base model was named. Add --base.",
    "folder.several": "The folder has several documents, and the command names none of them. Add --name.",
    "folder.differs": "The folder has a document already, and it says something else than the command. Leave the "
    "option out to train what is there, or change the document with --rescaffold.",
    "folder.name": "The name of a folder's document becomes a file name: letters, digits, '.', '_' and '-'.",
    "folder.pattern": "A file pattern cannot be used. The message says why.",
    "folder.not-a-folder": "The path is no folder that files could be found in. Check the spelling.",
    # command line
    "cli.usage": "The command line has an unknown word, a missing argument or a value out of range. "
    "The command's --help shows what can be written.",
    "cli.verbose-and-quiet": "--verbose asks for more messages and --quiet for fewer. Keep one of them.",
    "cli.unknown-shell": "Tab completion exists for bash, zsh, fish and PowerShell. Name one of them.",
    "init.template-with-media": "A template is a text document, so it cannot be combined with --multimodal or --audio.",
    "prompt.empty-question": "Nothing was asked. Write the question in quotation marks or send it on standard input.",
    "prompt.not-text": "What arrived on standard input is not text in the expected encoding. Save it as UTF-8.",
    "templates.unsigned-without-refresh": "--accept-unsigned is about a gallery being fetched. Add --refresh.",
    "templates.empty": "No template could be found, not even the ones that come with dlm. Install dlm again.",
    "migrate.io": "The document could not be read or written. Check its path and your permissions.",
    # store
    "store.locked": "Another dlm command is working on this document. Wait for it to finish, or stop it.",
    "store.lock-stale": "An earlier command was killed before it could tidy up. Nothing is lost: run yours again "
    "with --break-lock.",
    "store.lock-lost": "Another process broke this command's lock and took the document's store over. "
    "Wait for the other one to finish, then run yours again.",
    "store.manifest-corrupt": "The store's manifest.json was damaged or edited by hand. Put back a backup, or move the "
    "file aside and train again; trained versions stay on disk.",
    "store.manifest-newer": "A newer dlm wrote this store. Upgrade dlm to read it.",
    "store.pointer-escape": "The file that names the live adapter points outside the store, which dlm never writes. "
    "Follow the hint to point it at the last good version.",
    "store.pointer-broken": "The file that names the live adapter names none that is there. Follow the hint to point "
    "it at the last good version.",
    "store.bad-id": "Something that is not a document id was used as one. The id stands at the top of the document.",
    "store.bad-adapter-name": "Adapter names are small letters, digits and _, start with a letter, and are not "
    "'default' or 'versions'.",
    "store.bad-export-name": "An export can only be kept under a name of letters, digits, '.', '_' and '-'.",
    "store.bad-log-name": "Log names are letters, digits, '.', '_' and '-'. Choose another name.",
    "store.wrong-document": "A record of one document was about to be written into another one's store. "
    "This is a fault of the program that called dlm.",
    "store.version-empty": "Training ended without writing an adapter, so there is nothing to keep. "
    "Run it again with -v and report it.",
    "store.version-corrupt": "A file of the trained adapter was damaged. Go back to an earlier version, or train again "
    "with --fresh.",
    "store.not-a-file": "A new adapter version holds a link or a device. Only ordinary files and folders are kept.",
    "store.not-empty": "The store holds training results and is not removed by itself. Delete its folder if you "
    "mean to.",
    "store.not-text": "A file of the store is not UTF-8 text any more, so it was damaged. Put back a backup of it.",
    "store.summary-corrupt": "The summary of a training run was damaged. The adapter is not affected; delete the file.",
    "store.unreadable": "A file of the store cannot be read. Check its permissions and that its disk is present.",
    "replay.corrupt": "A file that remembers removed sections was damaged. What is whole of it is used, and the next "
    "training mends it; the trained adapter is not affected. A backup of the replay folder brings the rest back.",
    "replay.not-a-file": "A link or a device stands where the store remembers removed sections. Put the folder itself "
    "there, or move it aside to start remembering anew.",
    "replay.too-large": "A section is so long that it is not remembered once it is removed. Split it into several.",
    "metrics.corrupt": "The file metrics.sqlite, which keeps the curves of earlier trainings, is damaged or not a "
    "metrics database. Move it aside; the document, its adapters and its logs do not depend on it. The next training "
    "begins a new one.",
    "metrics.newer": "A newer dlm wrote metrics.sqlite. Update dlm, or move the file aside.",
    "metrics.unreadable": "The file metrics.sqlite is there and cannot be opened. Check its permissions.",
    "metrics.unwritable": "What a training did could not be written into metrics.sqlite. Make room on the disk, or "
    "check the permissions of the store.",
    "metrics.unknown-run": "No run of this number is on record. dlm metrics without --run-id lists those that are.",
    "metrics.watch-option": "The option has no meaning together with watch, or only has one there. Leave it out.",
    "lock.unreadable": "dlm.lock, the record of the last run's circumstances, was damaged or comes from a newer dlm. "
    "Train with --update-lock to write a new one.",
    "lock.drift": "Something that changes results differs from the last run, such as the base model or torch. "
    "--update-lock accepts the change, --ignore-lock goes on once.",
    "license.not-accepted": "The base model may be used only after you accept its licence. Read it, then run the "
    "command with --i-accept-license.",
    "home.empty": "The home folder was given as empty text, often from an unset variable. Name a folder.",
    "home.unknown": "The system does not say where your home folder is. Name a folder with --home.",
    "store.io": "The disk reported an error while reading or writing. Check that it is present and healthy.",
    "disk.full": "The disk has no room left. Free some space and run the command again; nothing earlier is lost.",
    "disk.read-only": "The folder cannot be written to. Change its permissions, or choose another one with --home.",
    # export
    "base.chat-template": "The base's chat template does not take this order of speakers. Let user and assistant take "
    "turns, beginning with the user.",
    "template.unlike": "How this base writes conversations cannot be put into Ollama's words, so Ollama would ask it "
    "otherwise than it was trained. Export for llama-server, which uses the base's own template.",
    "template.bos": "The exported file and the chat template disagree about the token a prompt begins with. Export "
    "again with this version of dlm.",
    "template.drift": "Ollama turns a conversation into another number of tokens than training did. Update Ollama, or "
    "export for llama-server, which uses the base's own template.",
    "modelfile.text": "A text for Ollama's Modelfile holds three quotes in a row, invisible signs or nothing at all, "
    "which Ollama would read otherwise. Change the text that the message shows.",
    "modelfile.unreadable": "A Modelfile was changed so that Ollama would refuse it. Export again.",
    "ollama.name": "The name after --name does not fit Ollama. Use letters, digits, '.', '_' and '-', with an optional "
    "namespace/ before and :tag behind.",
    "export.draft": "--draft wants the name of a small model in Ollama's library, such as qwen2.5:0.5b, and does not "
    "go with --no-draft.",
    "ollama.missing": "Neither the program ollama nor a running Ollama was found. Install it, set OLLAMA_HOST to where "
    "it runs, or add --skip-ollama.",
    "ollama.not-running": "Ollama is installed and does not answer. Start its app or ollama serve, check OLLAMA_HOST, "
    "or add --skip-ollama.",
    "ollama.too-old": "This Ollama cannot load what is exported. Update it, or add --skip-ollama.",
    "ollama.create-failed": "Ollama refused the exported model; the message is its own.",
    "ollama.busy": "Another dlm command is registering a model with Ollama. Wait until it has ended.",
    "ollama.failed": "Ollama answered with an error or with nothing that can be read; the message is its own.",
    "ollama.no-answer": "The exported model was registered with Ollama and did not answer a short question in time, or "
    "answered with nothing. Try ollama run yourself, or add --no-smoke.",
    "export.busy": "Another dlm command is writing the same export of this document. Wait until it has ended.",
    "export.manifest-unreadable": "The export_manifest.json of an export was damaged or edited. Export again.",
    "export.adapter": "--adapter and --adapter-mix choose among the adapters that training.adapters declares; the "
    "message lists them.",
    "export.options": "Two options of dlm export exclude one another, or one means nothing without another; the "
    "message names them.",
    "export.unknown-quant": "There is no such level. dlm export --help lists them.",
    "export.unknown-target": "There is no such target. dlm export --help lists them.",
    # base models
    "base.unknown": "The name in base_model is neither a key of the registry, nor hf:<org>/<name>, nor path:<folder>. "
    "Check the spelling.",
    "base.refused": "This base is listed but cannot be used; the message says why. Choose another one.",
    "base.offline": "The base model is not on this machine and cannot be fetched now. Connect to the internet and "
    "run it again, or point base_model at a local folder with path:.",
    "base.folder-missing": "The folder after path: in base_model is not there. Check the path.",
    "base.not-a-model": "The folder holds no config.json, so it is not a model folder. Point path: at the folder that "
    "holds config.json, the tokenizer and model.safetensors.",
    "base.is-adapter": "The folder or repository holds a LoRA adapter, not a whole model. Name the model it was "
    "trained on.",
    "base.no-weights": "There are no weights in safetensors format. Name a version of the model that has "
    "model.safetensors.",
    "base.unsafe-weights": "The weights are in a format that can run code when it is loaded, so they are not touched. "
    "Look for a version with model.safetensors.",
    "base.remote-code": "The model asks to run program code that comes with it, which dlm never does. Choose another "
    "model.",
    "base.quantised": "The weights are already compressed and cannot be trained as they are. Name the uncompressed "
    "original.",
    "base.no-tokenizer": "The model has no tokenizer, the part that cuts text into pieces. Copy the tokenizer files of "
    "the original model into the folder.",
    "base.no-chat-template": "The model continues text but knows no conversation. Choose the variant whose name ends "
    "in Instruct, Chat or it.",
    "base.architecture": "The model is not of a kind that continues text. Choose a text chat model.",
    "base.media": "The model reads pictures or sound. Such models are supported only from the registry.",
    "base.mismatch": "The files found belong to another kind of model than expected. Remove the folder named in the "
    "message and run the command again.",
    "base.incomplete": "A weight file of the model is missing. Run the command again while connected.",
    "base.damaged": "A weight file is cut off or not a weight file at all. Delete it and run the command again.",
    "base.bad-file": "A settings file of the model cannot be read. Fetch the model again or repair the file.",
    "base.bad-row": "A model's description contradicts itself, for example a size of zero. Check its config.json or "
    "choose another base.",
    "base.bad-revision": "What a document's store has noted as the version of its base is none. Train with --fresh.",
    "base.package-damaged": "An installed package with weights cannot be used. Install it again.",
    "base.gated-on-hub": "The Hub gives this model only to people who accepted its terms there. Accept them on the "
    "model's page, then log in with hf auth login or set HF_TOKEN.",
    "base.not-allowed": "The Hub refused access to the model. Log in, or use a token that may read it.",
    "base.not-found": "The Hub has no model of this name, or it is private. Check the spelling, or log in.",
    "base.revision-missing": "The exact version of the model that was noted is gone from the Hub. Choose another base "
    "or use a local copy with path:.",
    "base.commit-mismatch": "The Hub or a mirror offered another version than the one asked for. If HF_ENDPOINT names "
    "a mirror, unset it.",
    "base.hub-failed": "Fetching from the Hub failed half-way. Run the command again.",
    # new documents and templates
    "init.exists": "There is a file with this name already. Choose another name, or overwrite it with --force.",
    "init.not-a-file": "The path names a folder or a device. Give the path of a document, such as notes.dlm.",
    "init.wrong-modality": "The base model does not read pictures or sound as the new document asks for. "
    "Leave --base out to get one that does.",
    "templates.unknown": "No template has this name. dlm templates list shows the names.",
    "templates.invalid": "A file of the template is missing or not as it must be, so it is not used. "
    "Choose another template, or fetch the gallery again.",
    "templates.cache-corrupt": "The fetched gallery was damaged on disk. Remove the folder named in the message; "
    "the templates that come with dlm still work.",
    "minisign.key": "The file is not a minisign public key. It must hold a comment line and one line of base64.",
    "minisign.signature": "The file is not a minisign signature, so it proves nothing about who made the data.",
    "http.insecure": "Only https addresses are fetched, because anybody on the way could change the rest.",
    "http.redirects": "The address sends the request on too many times. Use the address where it ends.",
    "http.too-large": "The answer is larger than anything this kind of file needs, so it was not read to the end.",
    "http.encoding": "The server compresses its answer without being asked, which is not read.",
    "http.missing": "The server has no such file. Check the address.",
    "http.status": "The server could not answer. Try again later.",
    "http.unreachable": "The server cannot be reached. Check the address and the connection.",
    # hardware
    "hardware.does-not-fit": "Training this base would take more memory than the machine has. Follow the hint: shorter "
    "rows or a smaller base usually fit.",
    "hardware.no-bf16": "The document asks for the number format bf16, which this processor or graphics card does not "
    "have. Remove training.precision and dlm chooses one that works.",
    "hardware.no-fp16": "The number format fp16 cannot be trained on a processor alone. Remove training.precision and "
    "dlm chooses one that works.",
    "hardware.qlora-needs-cuda": "QLoRA keeps the base in 4 bits, which works on NVIDIA graphics cards only. "
    "Set training.adapter: lora.",
    "hardware.qlora-needs-bitsandbytes": "QLoRA needs the package bitsandbytes. Run pip install 'dlm[cuda]', "
    "or set training.adapter: lora.",
    "hardware.optimizer-needs-cuda": "8-bit optimizers need an NVIDIA graphics card and the package bitsandbytes. "
    "Set training.optimizer: adamw_torch.",
    "hardware.media-needs-gpu": "Models that see or hear train only on a large enough graphics card. Choose a text "
    "base or another machine.",
    "hardware.multi-gpu": "Training on several devices works with NVIDIA graphics cards only. Leave --gpus out.",
    "hardware.mixed-gpus": "The chosen graphics cards are of different generations and would give different results. "
    "Name cards of one kind.",
    "hardware.world-size": "Training was started with fewer than one process. Check the launcher's settings.",
    "hardware.adapters-do-not-fit": "The document's qlora adapters together take more graphics memory than there is. "
    "Lower lora_r, or train fewer adapters.",
    "prompt.mlx-unavailable": "MLX runs on Macs with Apple silicon, with two packages installed; the message says what "
    "is missing. Use --backend pytorch.",
    "disk.preflight": "The disk has too little free space for the files a training run writes. Free some, or set "
    "DLM_HOME to a folder on a larger disk.",
    "base.bad-config": "The config.json of the base lacks a size or states an impossible one. Fetch the model again, "
    "or choose another.",
    # training and asking
    "train.bad-option": "An option of train() is out of its range. The message names it.",
    "train.interrupted": "Training was stopped and a checkpoint was kept. The command with --resume goes on.",
    "resume.nothing": "--resume continues an earlier training, and there was none. Leave it out for the first one.",
    "infer.no-adapter": "The document was never trained, so there is nothing to ask. Run dlm train first.",
    "infer.base-changed": "base_model was changed after the last training, and an adapter fits only its own base. "
    "Train again, or put the old name back.",
    "infer.broken-adapter": "A file of the trained adapter is missing or damaged. Train again, or put the file back.",
    "infer.empty-query": "The question is empty. Give some text.",
    "infer.bad-knob": "A sampling value is out of its range. The message says which values are possible.",
    "config.media-base": "The base model reads pictures or sound, which this version cannot train. Choose a text one.",
    "config.galore-adapter": "The optimizer galore trains whole models, not adapters. Use adamw_torch.",
    "base.unreadable": "A file of the base model or of the trained adapter cannot be read, so it is probably "
    "damaged. Remove the named folder and run the command again.",
    "config.unknown-target-module": "training.target_modules names a part that the base model does not have. Use "
    "auto, or one of the names in the hint.",
    "hardware.out-of-memory": "The machine's memory did not suffice for this training. Try the changes of the hint "
    "in their order, or a smaller base.",
    "infer.failed": "The library that runs the model gave up; the message is its own. Run the command with --verbose "
    "and report it.",
    "infer.missing-package": "A package that this model or these settings need is not installed. dlm doctor shows "
    "what is there.",
    "resume.no-state": "--resume found a version or checkpoint without a complete record of its training. Train with "
    "--fresh.",
    "resume.no-adapter": "--resume found a version or checkpoint without a readable adapter in it. Train with --fresh.",
    "resume.damaged-state": "The record of the earlier training was changed or damaged on disk, so it is not used. "
    "Train with --fresh.",
    "resume.other-version": "The record of the earlier training was written by another version of dlm. Train with "
    "--fresh.",
    "resume.other-shape": "--resume continues an adapter, and the settings now ask for one of another shape or base. "
    "Put the old values back, or train with --fresh.",
    "train.nothing-to-learn": "The document holds no prose and no question with an answer. Write some and train again.",
    "train.answer-too-long": "One answer is longer than the longest stretch learned at once. Split it, or raise "
    "training.sequence_len.",
    "train.diverged": "Training left the path and its numbers became meaningless. Lower training.learning_rate, or "
    "set training.precision: fp32.",
    "train.non-finite-weights": "The trained adapter holds numbers that are none, so it is not used; the version "
    "before stays. Lower training.learning_rate, or set training.precision: fp32.",
    # export
    "export.unknown-architecture": "GGUF files are written for some families of models, and the base has a part that "
    "none of them has; the message names it. Export with --target vllm or --target hf-adapter.",
    "export.unknown-tensor": "The base has a tensor that GGUF has no name for in its family. Export with --target vllm "
    "or --target hf-adapter.",
    "export.half-overflow": "A weight is too large for 16-bit floats. Export with --quant BF16 or Q8_0.",
    "export.bad-tokenizer": "The tokenizer is damaged, or treats text in a way that the programs which read GGUF do "
    "not. Export with --target vllm or --target hf-adapter.",
    "export.pretokenizer": "The tokenizer cuts text by a rule that GGUF has no name for. Export with --target vllm.",
    "export.self-check": "A file was read back after it was written, and something else came out. Check the disk, and "
    "export again.",
    "export.vocabulary": "The tokenizer has more tokens than the model has rows for them, so they do not belong "
    "together. Train again with --fresh.",
    "export.no-quantizer": "Levels with a K in their name need a quantiser, and none is installed. Run pip install "
    "'dlm[runtime]', or choose --quant Q8_0 or F16.",
    "export.quantizer-failed": "The program that quantises gave up; the message shows what it said last. Choose "
    "--quant Q8_0 or F16 to do without it.",
    "export.bad-weights": "A weight file is damaged or incomplete, or holds numbers that no weight can have. "
    "Fetch the base again, or train again with --fresh.",
    "export.bad-importance": "The cached importance matrix is damaged or not one for this model. Delete the folder "
    "cache/imatrix in dlm's home, or export with --no-imatrix.",
    "export.imatrix-failed": "The importance matrix could not be collected for this base. Export with --no-imatrix, "
    "which costs some quality at Q4_K_M.",
    "export.no-adapter": "A file of the trained adapter is missing, so there is nothing to export. Train the document "
    "first.",
    "export.damaged-adapter": "A file of the trained adapter cannot be read, or contradicts another one. Train again, "
    "or go back to an earlier version.",
    "export.unsafe-adapter": "The adapter's settings ask for Python code to be loaded, which no adapter needs. Do not "
    "use it unless you know who made it.",
    "export.unmixable": "The sum of these adapters is not an adapter: they differ in kind, base or tokenizer. Export "
    "one of them alone with --adapter.",
    "export.foreign-base": "The adapter was trained on another base model than the document names now. Train again, or "
    "put the old base_model back.",
    "export.base-changed": "The base model's files are not those the adapter was trained on. Train again, or put the "
    "old files back.",
    "export.no-chat-template": "The base does not say how conversations are written. Export with --no-template, or "
    "train on a base made for conversations.",
    "export.cannot-carry": "The program you export for cannot run this kind of adapter; the message names what it is. "
    "Export with another --target.",
    "export.merge-4bit": "The adapter was trained over a 4-bit base, and merging puts it into the 16-bit one. Add "
    "--dequantize to accept that, or export without --merged.",
    "export.script-text": "A name or folder holds a line break, or a comma where llama.cpp takes one for an end, so no "
    "launch script can pass it on. Choose another name.",
    "export.lora-rank": "vLLM serves adapters up to rank 512. Train with a smaller lora_r, or export for llama-server "
    "with --merged.",
    "smoke.ended": "The server that the launch script starts gave up; the end of what it printed is shown. Repair what "
    "it names, or add --no-smoke.",
    "smoke.not-ready": "The server was started and did not become ready in time. Run the launch script yourself to see "
    "why, or add --no-smoke.",
    "smoke.refused": "The server is running and refused a question, for a missing key or an unknown model. Check "
    "DLM_SERVER_API_KEY, or add --no-smoke.",
    "smoke.no-answer": "The server is running and did not answer a short question in time, or not in a form that can "
    "be read. Try the launch script yourself, or add --no-smoke.",
    "smoke.blank": "The exported model answered a greeting with nothing. Ask it yourself; if it stays silent, train "
    "again. --no-smoke skips this question.",
    "export.unfit-adapter": "The adapter has a part that the form of this export cannot hold; the message names it. "
    "Export with --merged, or with --target hf-adapter.",
    "export.other-base": "The adapter changes layers that the base does not have, or has in another size. Train again "
    "with --fresh.",
    "usage.adapter-mix": "--adapter-mix takes names with weights, such as knowledge:1.0,tone:0.5.",
    "export.runtime-failed": "The program that runs GGUF files stopped or gave no sensible answer; the message shows "
    "what it said last. Update it, export again, or add --no-smoke to go without the check.",
    "export.parity": "The exported file was run, and it does not say what the trained model says; the message shows "
    "figures and the probable cause. Export with a finer level such as --quant Q8_0, or keep it with --no-smoke.",
    # signing and trust
    "sign.comment": "A comment of a key or signature is too long, or holds a line break or control character. Choose "
    "a shorter or plainer one.",
    "sign.no-key": "Signing needs a key of your own, and there is none yet. Make one with dlm keys generate.",
    "sign.no-public-key": "The public half of your key is missing, and the secret half is protected by a passphrase. "
    "Put minisign.pub back beside it, or make a new key.",
    "sign.key-exists": "You have a key already, and a new one would replace it for good. Add --force if that is meant; "
    "people who trust the old one have to be given the new one.",
    "sign.key-mismatch": "The files minisign.key and minisign.pub are not the two halves of one key. Put back the ones "
    "that belong together, or make a new key.",
    "sign.damaged-key": "The file of your secret key is damaged or no such key. Put back a backup of it, or make a new "
    "key.",
    "sign.kdf-limits": "The secret key file asks for more memory or time than any sensible key to check its "
    "passphrase. Do not use a key that you did not make yourself.",
    "sign.kdf-failed": "The passphrase could not be checked, mostly for lack of memory: that takes about 1 GiB on "
    "purpose. Close other programs and try again.",
    "sign.passphrase": "The passphrase does not open your secret key. Try again; a forgotten one cannot be recovered.",
    "sign.empty-passphrase": "An empty passphrase protects nothing. Type one, or ask for a key without.",
    "sign.no-terminal": "Your key is protected by a passphrase, which is asked for on a terminal only, and there is "
    "none here. Sign in a terminal, or use a key without a passphrase.",
    "sign.unreadable": "A key, or a file to be signed or checked, cannot be read. Check that it is there and that you "
    "may read it.",
    "sign.unknown-key": "No trusted key has this id or fingerprint. dlm keys list shows those there are.",
    "sign.ambiguous-key": "Several trusted keys have this id. Name the one that is meant by its fingerprint.",
    "sign.key-file-taken": "The file that would hold the key exists and holds something else. Look at it and move it "
    "away, or trust the key under another label.",
    "sign.bad-label": "A label of a trusted key is up to 64 letters, digits, dots, hyphens and underscores, beginning "
    "with a letter or digit.",
    "verify.unsigned": "The pack does not say who made it: nobody signed it. Ask its author for a signed one, or rely "
    "on where you got it from.",
    "verify.broken": "What the pack holds is not what its signature speaks of, so it was changed or put together from "
    "parts. Do not install it; get it from its author again.",
    "verify.untrusted": "The pack is signed with a key that you do not trust yet. Compare its fingerprint with its "
    "author's, then trust it with --trust-on-first-use or dlm keys trust.",
    "verify.rejected": "The signature of the pack does not hold: somebody changed it or claims to be somebody else. Do "
    "not install the pack.",
    # serve
    "serve.port": "Another program listens on this port. Choose another one with --port, or --port 0 for any that is "
    "free.",
    "serve.bind": "This machine does not let dlm listen at this address or port. Ports below 1024 are for "
    "administrators; choose another one with --port.",
    "serve.limits": "The limits of a peer server are whole numbers from 1 up, and a token lives longer than 0 s.",
    "serve.unreadable": "The pack or its signature that should be served cannot be read. Check that the file is there.",
    "serve.failed": "The peer server stopped by itself; the message shows why. Start it again.",
    "share.address": "The address of a pack could not be understood; the message says why. Give hf:<org>/<repo>, an "
    "https:// address, a path, or, to pull, the peer:// address that dlm serve printed, in quotes.",
    "share.insecure": "The address begins with http://, so others could read and change the pack on its way. Use "
    "https://, or add --insecure if you accept that.",
    "share.unreachable": "The place did not answer, or the connection broke off, several times in a row. Check the "
    "address and the connection, then run it again.",
    "share.offline": "Going online is switched off by HF_HUB_OFFLINE. Unset it and run it again.",
    "share.refused": "The place wants to know who you are, or you may not read or write there. The hint says which "
    "variable or login it needs.",
    "share.missing": "There is no pack at the address. Check the spelling, and that it was pushed there.",
    "share.status": "The place answered with an error of its own. Try again later, or check that it takes packs.",
    "share.redirect": "The address leads elsewhere, in a way that is not followed: too often, or to a less safe "
    "place. Use the address it ends at, if you trust it.",
    "share.too-large": "The file is larger than what is accepted, so it was not fetched to the end. Ask the sender.",
    "share.bad-answer": "The place sent something that is not the pack it began to send. Try again, or ask its owner.",
    "share.digest": "The pack that came is not the one the address promises, so it was thrown away. Do not trust the "
    "place; ask the sender for the address again.",
    "share.certificate": "The other side shows a certificate that is not the expected one, so nothing was sent. Check "
    "the address; somebody may be in between.",
    "share.auth": "DLM_SHARE_AUTH holds a line break or another sign that cannot be sent. Set it again, in one line.",
    "share.peer-push": "Nothing can be pushed to a peer. Run dlm serve here, and dlm pull there.",
    "share.changed": "The pack became shorter while it was being sent. Send it again when nothing writes to it.",
    "share.no-folder": "The folder that the pack should be copied to is not there. Make it, or write a / at its end.",
    "share.not-a-pack": "There is a file of this name already, and it is no pack, so it was left alone. Choose "
    "another name.",
    "share.not-a-file": "The path is a folder or a device, or may not be read. Give the path of a pack.",
    "share.revision": "A commit of the Hub cannot be pushed to: it never changes. Push to a branch, or leave out the "
    "@.",
    "share.public": "A private repository was asked for, and this one exists and is public. Make it private on its "
    "page, or push to another one.",
    "share.failed": "The Hub did not accept or give the pack; the message says what it answered. Try again later.",
    "install.notebook": "A table or a drawing was asked for, which needs the package pandas or matplotlib. Run "
    "pip install 'dlm[notebook]'.",
    "install.observability": "A variable asks for curves in TensorBoard or Weights & Biases, whose package is not "
    "installed. Run pip install 'dlm[observability]', or unset the variable.",
    # packs
    "pack.not-trained": "The document has not been trained yet, so there is nothing to pack. Train it first.",
    "pack.base-license": "The licence of the base may not let you pass its weights on. Leave --include-base out, or "
    "add "
    "--i-am-the-licensee with the page where you accepted it.",
    "pack.licensee-url": "--i-am-the-licensee takes the https:// address of the page where you accepted the licence.",
    "unpack.document-exists": "A document of the same name and other content is there. Choose another folder with "
    "--out, "
    "or replace it with --force.",
    "share.base-license": "The pack holds a base that may not be passed on freely. Pack again without --include-base, "
    "or "
    "with --i-am-the-licensee.",
    "share.pack-options": "Options such as --include-base say what goes into a pack, and a finished pack was given. "
    "Push "
    "the document instead.",
    "share.no-file": "The document was never saved, so there is no file to send. Save it first.",
    "serve.no-room": "No temporary folder for the pack could be made. Look at the disk that holds temporary files.",
    "keys.no-terminal": "A passphrase has to be typed, and there is no terminal. Run it in one, or add "
    "--no-passphrase.",
    "keys.passphrase": "The two passphrases differ, or are empty. Run it again.",
    "pack.damaged": "The pack is incomplete or was changed on its way; the message says where. Fetch it again, or ask "
    "its author for a new one.",
    "pack.unsafe": "The pack holds something that no pack needs and that could harm this machine, so nothing of it was "
    "used. Do not trust the place it came from.",
    "pack.inconsistent": "Two parts of the pack contradict each other, so it is not what it says. Ask its author for a "
    "new one.",
    "pack.too-large": "The pack goes beyond a limit that protects disk and memory; the message names the limit. Leave "
    "out the base or older versions, or do not trust the place it came from.",
    "pack.newer": "The pack was made by a newer dlm. Get a newer one and install it as you installed this one.",
    "pack.unreadable": "The file of the pack cannot be read. Check its name and its permissions.",
    "pack.bad-document": "The document inside the pack has faults, so nothing of the pack was used. Ask its author for "
    "a new one.",
    "pack.pickle": "The adapter in the pack is kept in a form that can run code while it is read. Ask its author for a "
    "pack with safetensors files.",
    "pack.unsafe-adapter": "The adapter's settings ask for something no adapter needs, such as code or files of this "
    "machine. Do not use the pack unless you know who made it.",
    "pack.not-a-file": "A store holds files and folders only, and something else lies in it. Put the file itself in "
    "the place of the link, or remove it.",
    "pack.executable": "A file of the store may be started as a program, and packs carry no programs. Remove it, or "
    "take the right to start it away.",
    "pack.bad-name": "A file's name would not work on every system, so it cannot be packed. Rename it.",
    "pack.changed": "A file was changed while it was being packed. Wait for the other program, then pack again.",
    "usage.source-date-epoch": "SOURCE_DATE_EPOCH sets the time in packs, and holds no number of seconds since 1970. "
    "Unset it, or give a whole number.",
    "store.exists": "This document has a store already. Add --force to replace it with the one from the pack.",
}

ERROR_CODES: Mapping[str, str] = MappingProxyType(_CODES)
"""Code → one or two sentences for a person who has just met it."""
