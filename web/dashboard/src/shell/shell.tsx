import { ActionIcon, AppShell, Box, Burger, Button, Group, Kbd, Menu, NavLink, ScrollArea, Text, Tooltip, useMantineColorScheme } from '@mantine/core'
import { useDisclosure, useHotkeys } from '@mantine/hooks'
import { Spotlight, spotlight } from '@mantine/spotlight'
import { IconLogout, IconMoon, IconSearch, IconSun, IconUser } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useEffect, useRef } from 'react'
import { Link, useLocation, useNavigate } from 'react-router'
import { api, ok } from '../api/client'
import { useSession } from '../api/session'
import { pages } from './pages'

/** Shell is what stands around every page: the navigation, the search box, and who is signed in. */
export function Shell({ children }: { children: ReactNode }) {
  const [open, { toggle, close }] = useDisclosure(false)
  const { session, may } = useSession()
  const { pathname } = useLocation()
  const navigate = useNavigate()
  const shown = pages.filter((p) => p.icon && (!p.needs || may(p.needs)))
  useShortcuts((path) => navigate(path))
  useFocusOnPages(pathname)

  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <AppShell header={{ height: 52 }} navbar={{ width: 208, breakpoint: 'sm', collapsed: { mobile: !open } }} padding="md">
        <AppShell.Header>
          <Group h="100%" px="md" justify="space-between" wrap="nowrap">
            <Group gap="xs" wrap="nowrap">
              <Burger opened={open} onClick={toggle} hiddenFrom="sm" size="sm" aria-label={open ? 'Close the navigation' : 'Open the navigation'} />
              <Link to="/" style={{ color: 'inherit', textDecoration: 'none' }} aria-label="carom, to the overview">
                <Text fw={700} size="lg">
                  carom
                </Text>
              </Link>
            </Group>
            <Group gap="xs" wrap="nowrap">
              <Button variant="default" size="xs" leftSection={<IconSearch size={14} />} onClick={spotlight.open} visibleFrom="xs" rightSection={<Kbd size="xs">Ctrl K</Kbd>}>
                Search or go to
              </Button>
              <ActionIcon variant="default" size="lg" onClick={spotlight.open} hiddenFrom="xs" aria-label="Search or go to">
                <IconSearch size={16} />
              </ActionIcon>
              <SchemeSwitch />
              <Menu position="bottom-end" withinPortal>
                <Menu.Target>
                  <ActionIcon variant="default" size="lg" aria-label={`Account: ${session.member?.email ?? 'nobody'}`}>
                    <IconUser size={18} />
                  </ActionIcon>
                </Menu.Target>
                <Account email={session.member?.email ?? ''} role={session.member?.role ?? ''} />
              </Menu>
            </Group>
          </Group>
        </AppShell.Header>
        <AppShell.Navbar p="xs">
          <AppShell.Section grow component={ScrollArea}>
            <Box component="ul" p={0} m={0} style={{ listStyle: 'none' }}>
              {shown.map((p) => {
                const to = p.path.replace('/*', '')
                const active = to === '/' ? pathname === '/' : pathname === to || pathname.startsWith(`${to}/`)
                const PageIcon = p.icon!
                return (
                  <li key={to}>
                    <NavLink
                      component={Link} to={to} label={p.title} active={active} aria-current={active ? 'page' : undefined} onClick={close}
                      leftSection={<PageIcon size={18} stroke={1.6} aria-hidden />} style={{ borderRadius: 'var(--mantine-radius-sm)' }}
                    />
                  </li>
                )
              })}
            </Box>
          </AppShell.Section>
        </AppShell.Navbar>
        <AppShell.Main id="main" tabIndex={-1} style={{ outline: 'none' }}>
          {children}
        </AppShell.Main>
      </AppShell>
      <Palette />
    </>
  )
}

function Account({ email, role }: { email: string; role: string }) {
  const client = useQueryClient()
  const leave = useMutation({
    mutationFn: () => ok(api.DELETE('/v1/session')),
    onSuccess: async () => {
      client.clear()
      await client.invalidateQueries({ queryKey: ['session'] })
    },
  })
  return (
    <Menu.Dropdown>
      <Menu.Label>
        {email} ({role})
      </Menu.Label>
      <Menu.Item component={Link} to="/settings/account" leftSection={<IconUser size={16} />}>
        Your account
      </Menu.Item>
      <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => leave.mutate()}>
        Sign out
      </Menu.Item>
    </Menu.Dropdown>
  )
}

function SchemeSwitch() {
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  const dark = colorScheme === 'dark' || (colorScheme === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches)
  const label = dark ? 'Light colours' : 'Dark colours'
  return (
    <Tooltip label={label}>
      <ActionIcon variant="default" size="lg" onClick={() => setColorScheme(dark ? 'light' : 'dark')} aria-label={label}>
        {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
    </Tooltip>
  )
}

/** Palette goes to a page by its name, and searches for whatever else is typed. */
function Palette() {
  const navigate = useNavigate()
  const { may } = useSession()
  const query = useRef('')
  return (
    <Spotlight
      shortcut={['mod + K', '/']}
      onQueryChange={(q) => (query.current = q)}
      searchProps={{
        placeholder: 'A page, or an id, ymid, user, zone or URL to search for',
        leftSection: <IconSearch size={18} aria-hidden />,
        'aria-label': 'Search or go to',
        onKeyDown: (e) => {
          if (e.key === 'Enter' && query.current && !document.querySelector('[data-selected="true"]')) {
            spotlight.close()
            void navigate(`/search?q=${encodeURIComponent(query.current)}`)
          }
        },
      }}
      nothingFound="No page has this name: press Enter to search for it"
      actions={pages
        .filter((p) => p.icon && (!p.needs || may(p.needs)))
        .map((p) => ({
          id: p.path,
          label: p.title,
          description: p.key && `Shortcut: g ${p.key}`,
          onClick: () => void navigate(p.path.replace('/*', '')),
        }))}
    />
  )
}

/** useShortcuts goes to a page when g and its key are pressed one after the other. */
function useShortcuts(go: (path: string) => void) {
  const until = useRef(0)
  useHotkeys([
    ['g', () => (until.current = Date.now() + 1500)],
    ...pages
      .filter((p) => p.key)
      .map((p) => [p.key!, () => { if (Date.now() < until.current) go(p.path.replace('/*', '')) }] as [string, () => void]),
  ])
}

/** useFocusOnPages moves the focus to the title when the page changes, so that those who hear the page know where they are. */
function useFocusOnPages(pathname: string) {
  const first = useRef(true)
  useEffect(() => {
    if (first.current) {
      first.current = false
      return
    }
    const timer = setTimeout(() => document.querySelector<HTMLElement>('[data-page-title]')?.focus({ preventScroll: true }), 50)
    window.scrollTo(0, 0)
    return () => clearTimeout(timer)
  }, [pathname])
}
