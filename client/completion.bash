# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Completion of virt-freeze for bash. Domains, disks and freezes are asked of the service.

# Prints, a line each, what the service says.
_virt_freeze_ask() { # WHAT...
    local options=()
    [[ " ${COMP_WORDS[*]} " == *" --session "* ]] && options=(--session)
    command virt-freeze "${options[@]}" _complete -- "$@" 2>/dev/null
}

# Offers those lines of standard input that begin with what is typed, quoted.
_virt_freeze_offer() {
    local line
    while IFS= read -r line; do
        # What is typed may be quoted, or not yet.
        if [[ $line == "$cur"* || $(printf %q "$line") == "$cur"* ]]; then
            COMPREPLY+=("$(printf %q "$line")")
        fi
    done
}

_virt_freeze_words() { # WORD...
    mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}

_virt_freeze() {
    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local common="--session --no-ask-password --json --scope --help"
    local command='' domain='' word index skip=
    COMPREPLY=()

    # What has been said before the cursor.
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ $skip ]]; then
            [[ $skip != --domain && $skip != --force ]] || domain=$word
            skip=
        elif [[ $word == -- && $command == run && $domain ]]; then
            # The rest is a command of its own.
            if declare -F _command_offset >/dev/null; then
                _command_offset $((index + 1))
            else
                mapfile -t COMPREPLY < <(compgen -c -- "$cur")
            fi
            return
        else
            case $word in
                --domain | --force | --disk | --hold | --reason | --scope) skip=$word ;;
                -*) ;;
                *)
                    if [[ ! $command ]]; then
                        command=$word
                    elif [[ ! $domain ]]; then
                        domain=$word
                    fi
                    ;;
            esac
        fi
    done

    case $previous in
        --domain | --force) _virt_freeze_offer < <(_virt_freeze_ask domains); return ;;
        --disk)
            # As it is meant, without quotes; what is typed is never executed.
            word=$(xargs printf %s <<<"$domain" 2>/dev/null)
            _virt_freeze_offer < <(_virt_freeze_ask disks "$word")
            return
            ;;
        --scope) _virt_freeze_words auto disks domain; return ;;
        --hold) _virt_freeze_words 10s 30s 1min 5min; return ;;
        --reason) return ;;
    esac

    case $command in
        '') _virt_freeze_words list status run freeze thaw monitor "$common" --version ;;
        list) _virt_freeze_words "$common" --watch ;;
        monitor) _virt_freeze_words "$common" ;;
        thaw)
            if [[ $cur == -* ]]; then
                _virt_freeze_words "$common" --domain --all --force
            else
                _virt_freeze_offer < <(_virt_freeze_ask freezes)
            fi
            ;;
        status | run | freeze)
            if [[ $cur == -* || $domain ]]; then
                [[ $command == status ]] && _virt_freeze_words "$common" --watch ||
                    _virt_freeze_words "$common" --domain --disk --hold --reason --
            else
                _virt_freeze_offer < <(_virt_freeze_ask domains)
            fi
            ;;
    esac
}

complete -F _virt_freeze virt-freeze
