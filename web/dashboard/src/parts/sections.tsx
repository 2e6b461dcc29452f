import { Tabs } from '@mantine/core'
import type { ReactNode } from 'react'
import { Navigate, Route, Routes, useLocation, useNavigate } from 'react-router'
import { useSession } from '../api/session'

/** A Section is a part of a page at an address of its own below the page's. */
export interface Section {
  /** The part of the address behind the page's: '' for the first. */
  path: string
  /** title names its tab. One without is reached from the first section, whose tab stays chosen. */
  title?: string
  /** The operation of /v1 that a member must be allowed, for the section to be of use. */
  needs?: string
  element: ReactNode
}

/** Sections shows the sections of a page that the member may use, as tabs. base is the page's own address: "/settings". */
export function Sections({ base, sections, label }: { base: string; sections: readonly Section[]; label: string }) {
  const { may } = useSession()
  const { pathname } = useLocation()
  const navigate = useNavigate()
  const shown = sections.filter((s) => !s.needs || may(s.needs))
  const tabs = shown.filter((s) => s.title)
  const second = pathname.split('/')[2] ?? ''
  const active = tabs.find((s) => s.path && s.path === second) ?? tabs[0]
  if (!active) return null
  const value = (s: Section) => s.path || 'first'
  return (
    <Tabs value={value(active)} onChange={(tab) => void navigate(tab === 'first' ? base : `${base}/${tab}`)} keepMounted={false}>
      <Tabs.List aria-label={label}>
        {tabs.map((s) => (
          <Tabs.Tab key={s.path} value={value(s)}>
            {s.title}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      <Tabs.Panel value={value(active)} pt="md">
        <Routes>
          {shown.map((s) => (
            <Route key={s.path} path={s.path ? `${s.path}/*` : '/'} element={s.element} />
          ))}
          <Route path="*" element={<Navigate to={active.path ? `${base}/${active.path}` : base} replace />} />
        </Routes>
      </Tabs.Panel>
    </Tabs>
  )
}
