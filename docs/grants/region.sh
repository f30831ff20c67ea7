#!/bin/sh
# In one region: a role with the rules of docs/least-privilege.md, the account region-sync with that role, API keys for its user.
# Out: two lines for the environment, BERLIN_API_KEY=… and BERLIN_SECRET_KEY=…, for the region that is called berlin.
#
#   sh docs/grants/region.sh berlin >> region-sync.env
#
# Needs CloudMonkey (cmk) with a profile of that name that logs in as the region's root administrator, and python3. It can be run
# again: the role gets its rules again, the account stays. But keys are made anew, and the pair of before ends.
set -eu
region=${1:?say which region, as sh docs/grants/region.sh berlin}
rules=$(dirname "$0")/../least-privilege.md

cloud() {
    cmk -o json -p "$region" "$@"
}

value() {  # what an answer holds at a path; where the path begins with a name, in the entry of a list that has that name
    python3 -c '
import json, sys
text = sys.stdin.read()
here = json.loads(text) if text.strip() else {}
for step in sys.argv[1:]:
    key, _, wanted = step.partition("=")
    if isinstance(here, list):
        here = next((one for one in here if one.get(key) == wanted), {})
    else:
        here = here.get(step, {})
print(here or "")' "$@"
}

set -f  # rule=* is no pattern of files
# shellcheck disable=SC2046  # each word is a parameter
set -- $(sed -n 's/^create rolepermission .* permission=\(.*\) rule=\(.*\)$/\1 \2/p' "$rules" |
    awk '{print "rules[" NR-1 "].rule=" $2, "rules[" NR-1 "].permission=" $1}')
role=$(cloud import role name=region-sync type=Admin forced=true description="Region Sync" "$@" | value role id)
user=$(cloud list users listall=true username=region-sync | value user username=region-sync id)
if [ -z "$user" ]; then
    password=$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')  # kept nowhere: the sync has keys
    user=$(cloud create account username=region-sync account=region-sync password="$password" roleid="${role:?no role was made}" \
        email=region-sync@example.org firstname=Region lastname=Sync | value account user username=region-sync id)
fi
keys=$(cloud register userkeys id="${user:?no account was made}")
name=$(printf %s "$region" | tr 'a-z.-' 'A-Z__')
for key in api secret; do
    printf '%s_%s_KEY=%s\n' "$name" "$(printf %s $key | tr a-z A-Z)" "$(printf %s "$keys" | value userkeys ${key}key)"
done
