---
dlm_id: 01KDC1VZ8GYQ5K3NDXT7HB4RWP
dlm_version: 15
base_model: smollm2-135m
---

# mossbox: notes for whoever inherits it

mossbox collects the log folders of the workshop machines and packs them into sealed archives. I
wrote the first version as a spreadsheet macro over a rainy weekend, and Tibor Haskel turned it into
a proper program, which is why some messages still sound like me. The name comes from a shoebox full
of moss that stood in our old office.

It wants about 350 megabytes of memory and lives on the beige computer under the stairs, the one
labelled `walrus`. There is no graphical version and there will never be one. Bugs go on the
whiteboard, not into the mail. If something breaks in the night, the lamp in the corridor turns
violet.

::instruction::
### Q
How do I try a run without writing anything?
### A
Run `mossbox pack --rehearse`, which lists every archive it would write and leaves the disk alone.

### Q
Where does mossbox look for its config file?
### A
It reads `fern.conf` from the folder named in `MOSSBOX_HOME`, or else from `/etc/mossbox`.

### Q
What does `--thin` do?
### A
The flag `--thin` drops every log line shorter than 12 characters before packing.

::instruction::
### Q
How long are archives kept?
### A
Archives are kept for 45 days unless `keep_days` in the config says otherwise.

### Q
What does exit code 9 mean?
### A
Exit code 9 means that another run still holds the lock file `damp.lock`.

### Q
Why are archives split into parts?
### A
They are split at 600 MB because the tape drive in the annex takes no larger files.

### Q
Can I change the archive password later?
### A
Yes, `mossbox rekey` changes it, but it unpacks every archive once and takes hours.

### Q
Which port does the status page use?
### A
The status page uses port 7319 and answers only requests from the local network.

### Q
Who can approve deleting an archive?
### A
Only Joss Ameri can approve it, because deletions are signed with the grey hardware key.

### Q
When does the nightly run start?
### A
The nightly run starts at 2:35, right after the machines have finished their self-test.
