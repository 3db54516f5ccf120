#compdef virt-freeze
# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of virt-freeze for zsh. Domains, disks and freezes are asked of the service.

# What the service says, a line each, into $lines.
_virt_freeze_ask() { # WHAT...
    local -a options
    (( ${words[(I)--session]} )) && options=(--session)
    lines=("${(@f)$(_call_program virt-freeze virt-freeze $options _complete -- ${(q)@} 2>/dev/null)}")
    lines=(${lines:#})
}

_virt_freeze_domains() {
    local -a lines
    _virt_freeze_ask domains
    compadd -a "$@" lines
}

_virt_freeze_freezes() {
    local -a lines
    _virt_freeze_ask freezes
    compadd -a "$@" lines
}

# Of the domain that was named last.
_virt_freeze_disks() {
    local -a lines
    local domain=${line[1]} index=${words[(I)--domain]}
    (( index && index < CURRENT )) && domain=${words[index+1]}
    _virt_freeze_ask disks "${(Q)domain}"
    compadd -a "$@" lines
}

_virt-freeze() {
    local curcontext=$curcontext state
    local -a line common freezing verbs
    typeset -A opt_args
    common=(
        '--session[guests of this user, not those of the system]'
        '--no-ask-password[do not ask for a password]'
        '--json[for scripts]'
        '--scope[what is frozen]:scope:(auto disks domain)'
        '(- *)--help[show help]'
    )
    freezing=(
        '*--domain[a domain of a group]:domain:_virt_freeze_domains'
        '*--disk[freeze what is on this disk]:disk:_virt_freeze_disks'
        '--hold[thaw at the latest after this time]:time:(10s 30s 1min 5min)'
        '--reason[shown to everybody]:reason:'
    )
    verbs=(   # not "commands", which is a table of zsh that _normal needs
        'list:the domains, and which of them are frozen'
        'status:the filesystems of a domain, and who holds them frozen'
        'run:hold a domain frozen while a command runs'
        'freeze:freeze, and print a path to thaw it by'
        'thaw:thaw what is frozen'
        'monitor:tell what happens'
    )

    _arguments -C $common '(- *)--version[show the version]' '1:command:->command' '*::argument:->argument'
    case $state in
        command) _describe command verbs ;;
        argument)
            case ${words[1]} in
                list) _arguments $common '--watch[show changes]' ;;
                monitor) _arguments $common ;;
                status) _arguments $common '--watch[show changes]' '1:domain:_virt_freeze_domains' ;;
                run)
                    local separator=${words[(i)--]}
                    if (( separator < CURRENT )); then
                        # The rest is a command of its own.
                        shift $separator words
                        (( CURRENT -= separator ))
                        _normal
                    else
                        _arguments $common $freezing '1:domain:_virt_freeze_domains'
                    fi
                    ;;
                freeze) _arguments $common $freezing '1:domain:_virt_freeze_domains' ;;
                thaw)
                    _arguments $common '--all[every freeze of every domain]' \
                        '*--domain[every freeze of a domain]:domain:_virt_freeze_domains' \
                        '--force[thaw the guest, whoever froze it]:domain:_virt_freeze_domains' \
                        '*:freeze:_virt_freeze_freezes'
                    ;;
            esac
            ;;
    esac
}

_virt-freeze "$@"
