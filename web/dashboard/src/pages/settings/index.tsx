import { useSession } from '../../api/session'
import { Page } from '../../parts/page'
import { Sections } from '../../parts/sections'
import { Account } from './account'
import { Alerts } from './alerts'
import { Apps } from './apps'
import { Audit } from './audit'
import { Keys } from './keys'
import { Members } from './members'
import { Nodes } from './nodes'
import { Process } from './process'

/** Settings is who may do what, what the server was told, and who changed it. */
export default function Settings() {
  const { session } = useSession()
  // What a publisher's member may say of their apps stands with their zones.
  const apps = session.member?.role === 'publisher' ? 'replace-app' : 'list-apps'
  return (
    <Page title="Settings">
      <Sections
        base="/settings"
        label="Settings"
        sections={[
          { path: 'account', title: 'Your account', element: <Account /> },
          { path: 'members', title: 'Members', needs: 'list-members', element: <Members /> },
          { path: 'keys', title: 'API keys', needs: 'list-keys', element: <Keys /> },
          { path: 'apps', title: 'Apps', needs: apps, element: <Apps /> },
          { path: 'alerts', title: 'Alerts', needs: 'list-alerts', element: <Alerts /> },
          { path: 'nodes', title: 'Nodes', needs: 'list-nodes', element: <Nodes /> },
          { path: 'audit', title: 'Audit', needs: 'list-audit', element: <Audit /> },
          { path: 'process', title: 'Retention and process', needs: 'list-settings', element: <Process /> },
        ]}
      />
    </Page>
  )
}
